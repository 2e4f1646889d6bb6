/** What a person drops or pastes: files, whole folders, addresses. */

import { isWebAddress } from "./address.ts";

export interface NamedFile {
  readonly file: File;
  /** Its name, with the folders that it lies in if a folder was dropped. */
  readonly name: string;
}

export interface Brought {
  readonly files: readonly NamedFile[];
  readonly urls: readonly string[];
  /** Files in folders that are not pictures, or cannot be read. */
  readonly leftOut: number;
}

const inReadingOrder = new Intl.Collator("en", { numeric: true });

/** Everything that `data` holds. It is read before the first wait, because a `DataTransfer` is empty after its event. */
export async function broughtBy(data: DataTransfer | null): Promise<Brought> {
  const items = [...(data?.items ?? [])].filter(({ kind }) => kind === "file");
  const dropped = items.map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  const text = data?.getData("text/uri-list") || data?.getData("text/plain") || "";
  const urls = text.split(/\s+/).filter(isWebAddress);
  const files: NamedFile[] = [];
  let leftOut = 0;
  for (const { entry, file } of dropped) {
    if (isDirectory(entry)) {
      const folder = await picturesUnder(entry);
      files.push(...folder.files);
      leftOut += folder.leftOut;
    } else if (file !== null) files.push({ file, name: file.name });
  }
  return { files, urls: dropped.length > 0 ? [] : urls, leftOut };
}

const isDirectory = (entry: FileSystemEntry | null): entry is FileSystemDirectoryEntry =>
  entry?.isDirectory === true;
const isFile = (entry: FileSystemEntry): entry is FileSystemFileEntry => entry.isFile;

/** Pictures of a folder and its subfolders, in the order in which a person lists them. Hidden files are not pictures. */
async function picturesUnder(folder: FileSystemDirectoryEntry): Promise<Omit<Brought, "urls">> {
  const entries = await entriesOf(folder).catch(() => undefined);
  if (entries === undefined) return { files: [], leftOut: 1 };
  const files: NamedFile[] = [];
  let leftOut = 0;
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    if (isDirectory(entry)) {
      const inner = await picturesUnder(entry);
      files.push(...inner.files);
      leftOut += inner.leftOut;
    } else if (isFile(entry)) {
      const file = await fileOf(entry).catch(() => undefined);
      if (file?.type.startsWith("image/")) files.push({ file, name: entry.fullPath.slice(1) });
      else leftOut += 1;
    }
  }
  return { files, leftOut };
}

async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const entries: FileSystemEntry[] = [];
  for (;;) {
    // A reader gives some entries at a time, and none at the end.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) break;
    entries.push(...some);
  }
  return entries.sort((a, b) => inReadingOrder.compare(a.name, b.name));
}

const fileOf = (entry: FileSystemFileEntry) =>
  new Promise<File>((resolve, reject) => entry.file(resolve, reject));
