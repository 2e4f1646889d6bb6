/**
 * Loaded into a child process before its own code (`node --import`): ends the child's whole group when the process that
 * started it is gone, for whatever reason. A pipe that the parent holds open tells it.
 */

import { Socket } from "node:net";

const PIPE = "END_WITH_PARENT_FD";
/** Time to end in good order; after that, everything left is killed. */
const GRACE_MS = 5_000;

const descriptor = process.env[PIPE];
// Children of the child inherit the environment, but not the pipe.
delete process.env[PIPE];
if (descriptor !== undefined) {
  const pipe = new Socket({ fd: Number(descriptor) });
  pipe.on("error", () => {});
  pipe.on("close", () => {
    setTimeout(() => process.kill(0, "SIGKILL"), GRACE_MS);
    process.kill(0, "SIGTERM");
  });
  pipe.resume().unref();
}
