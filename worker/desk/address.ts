/** Whether a text is a web address and nothing else. Its scheme may be in capitals: RFC 3986, section 3.1. */
export function isWebAddress(text: string): boolean {
  return /^https?:\/\/\S+$/i.test(text) && URL.canParse(text);
}
