/**
 * Loaded into a child process before its own code (`node --import`): ends the child's whole group when the process that
 * started it is gone, whatever ended that one. It knows by a pipe that the parent holds open.
 */

import { Socket } from "node:net";

const PIPE = "END_WITH_PARENT_FD";
/** For what ends in good order; the rest is killed. */
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
