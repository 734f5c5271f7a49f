/** Always on with TLS 1.3, as in Go. */
const tls13 = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'];
/** What Go offers by default and testssl has nothing against: forward secrecy and AEAD, for both kinds of keys. */
const tls12 = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
];

/** OpenSSL's list of what a server offers; of TLS 1.2 those that were asked for, where there are any. */
export function cipherList(asked: readonly string[] = []): string {
  return [...new Set([...tls13, ...(asked.length > 0 ? asked : tls12)])].join(':');
}
