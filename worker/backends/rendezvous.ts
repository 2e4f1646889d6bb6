/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998): every isolate sends one picture to the same captioner, which joins
 * identical pictures in flight; when a captioner leaves, only its own pictures move.
 */

/** `nodes` in the order in which to ask them. */
export function rendezvousOrder(nodes: readonly string[], key: string): readonly string[] {
  if (nodes.length < 2) return nodes;
  return nodes
    .map((node) => ({ node, weight: hash32(`${node}\n${key}`) }))
    .sort((a, b) => b.weight - a.weight || (a.node < b.node ? -1 : 1))
    .map(({ node }) => node);
}

/** FNV-1a with the finalizer of MurmurHash3: without it, keys that differ in their last characters rank alike. */
function hash32(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
