/** For lines that a person pastes into a terminal. */

/** `text` as one word of a POSIX shell, quoted if it must be. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
