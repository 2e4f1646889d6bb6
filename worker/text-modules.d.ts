/** Files that wrangler.toml's rules import as text, and as bytes. */

declare module "*.html" {
  const text: string;
  export default text;
}
declare module "*.css" {
  const text: string;
  export default text;
}
declare module "*/built/desk.js" {
  const text: string;
  export default text;
}
declare module "*.svg" {
  const text: string;
  export default text;
}
declare module "*.jpg" {
  const bytes: ArrayBuffer;
  export default bytes;
}
declare module "*/built/openapi.txt" {
  const text: string;
  export default text;
}
