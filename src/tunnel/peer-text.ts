const mostCharacters = 500;

/** What a server or an agent said, as it may stand in a message: agents are on machines that are not ours. */
export function peerText(text: string): string {
  return text.slice(0, mostCharacters).replace(/[^\x20-\x7e]/g, '?');
}
