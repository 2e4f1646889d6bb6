export { AltTextWidget } from "./widget.tsx";
