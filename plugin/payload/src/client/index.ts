export { AltTools } from "./alt-tools.tsx";
export { RunBar } from "./run-bar.tsx";
export { StateCell } from "./state-cell.tsx";
