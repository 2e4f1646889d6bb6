/** Whether a text is an address of the web, alone. Its scheme may have capitals: RFC 3986, section 3.1. */
export function isWebAddress(text: string): boolean {
  return /^https?:\/\/\S+$/i.test(text) && URL.canParse(text);
}
