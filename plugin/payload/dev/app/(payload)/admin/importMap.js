import { AltTools as AltTools_56dbbfe1cd4375844b16a19b66409caf } from 'alt-text-edge-payload/client'
import { StateCell as StateCell_56dbbfe1cd4375844b16a19b66409caf } from 'alt-text-edge-payload/client'
import { RunBar as RunBar_56dbbfe1cd4375844b16a19b66409caf } from 'alt-text-edge-payload/client'
import { AltTextWidget as AltTextWidget_477412bc9e5cb1a2ca7b70f6e15389bb } from 'alt-text-edge-payload/rsc'
import { CollectionCards as CollectionCards_f9c02e79a4aed9a3924487c0cd4cafb1 } from '@payloadcms/next/rsc'

/** @type import('payload').ImportMap */
export const importMap = {
  "alt-text-edge-payload/client#AltTools": AltTools_56dbbfe1cd4375844b16a19b66409caf,
  "alt-text-edge-payload/client#StateCell": StateCell_56dbbfe1cd4375844b16a19b66409caf,
  "alt-text-edge-payload/client#RunBar": RunBar_56dbbfe1cd4375844b16a19b66409caf,
  "alt-text-edge-payload/rsc#AltTextWidget": AltTextWidget_477412bc9e5cb1a2ca7b70f6e15389bb,
  "@payloadcms/next/rsc#CollectionCards": CollectionCards_f9c02e79a4aed9a3924487c0cd4cafb1
}
