/** Makes foreign text safe for a terminal: names of files, words of models and servers. Prints nothing itself. */

/**
 * C0 and C1 controls, which move the cursor, retitle windows and hide text, and marks that change the reading direction.
 * Tabs and line ends are left as they are.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about.
const COMMANDS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** `text` with what a terminal would obey written out, as `\\u001b` for an escape. */
export function printable(text: unknown): string {
  return String(text).replaceAll(
    COMMANDS,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The same for one field of a line, which a tab or a line end would split in two. */
export function printableField(text: unknown): string {
  return printable(text).replaceAll("\t", "\\t").replaceAll("\n", "\\n");
}

/** The same for lines of a file, which may have Windows line ends. */
export function printableLines(text: string): string {
  return printable(text.replaceAll("\r\n", "\n"));
}
