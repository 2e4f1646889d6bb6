import { fileURLToPath } from "node:url";
import { withPayload } from "@payloadcms/next/withPayload";

// The client package is linked from outside of this one.
const root = fileURLToPath(new URL("../../..", import.meta.url));

export default withPayload(
  { turbopack: { root }, typescript: { ignoreBuildErrors: true } },
  { devBundleServerPackages: false },
);
