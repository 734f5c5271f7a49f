export interface HeaderKind {
  readonly names: readonly string[];
  readonly values: readonly string[];
  /** Of one connection: HTTP/2 has none such (RFC 9113 8.2.2). */
  readonly http1Only?: boolean;
}

/** The caller's own word in values that must never arrive. */
export const SECRET = 'secret-of-the-caller';

/** Headers of a request, as many of each kind as it is worth trying. */
export const headerKinds: readonly HeaderKind[] = [
  { names: ['X-A', 'x-a', 'X-a'], values: ['1', '2', '', 'a, b', 'a\tb', '"q;x"', '\xe9', 'x'.repeat(5000)] },
  {
    names: ['X-Odd!#$%&', 'x_under', "x'", '0', 'x.y', '__proto__', 'constructor', 'toString'],
    values: ['1', ''],
  },
  { names: ['Accept'], values: ['*/*', 'application/json;as=Table;v=v1;g=meta.k8s.io, */*', ''] },
  { names: ['Accept-Encoding'], values: ['gzip', 'identity', 'gzip;q=0, *', ''] },
  { names: ['If-None-Match', 'If-Match'], values: ['"x"', 'W/"x", "y"', '*'] },
  { names: ['Range'], values: ['bytes=0-1', 'bytes=5-,0-1', 'x'] },
  {
    names: ['Content-Type'],
    values: ['application/json', 'application/apply-patch+yaml', 'text/plain; charset="x"', ''],
  },
  { names: ['User-Agent'], values: ['kubectl/v1', '', 'a (b; c) d/e'] },
  { names: ['Cookie', 'cookie'], values: [`a=${SECRET}`, 'a=b; c=d'] },
  { names: ['X-Remote-User', 'x-remote-user', 'X-Remote-Uid'], values: [SECRET, 'system:admin'] },
  {
    names: ['X-Remote-Group', 'X-Remote-Extra-a', 'X-REMOTE-EXTRA-B%2fc'],
    values: [SECRET, 'system:masters'],
  },
  {
    names: ['Impersonate-User', 'Impersonate-Group', 'Impersonate-Uid', 'Impersonate-Extra-x'],
    values: [SECRET],
  },
  { names: ['impersonate-', 'Impersonate-Other'], values: [SECRET] },
  {
    names: ['Forwarded', 'X-Real-Ip', 'X-Forwarded-For', 'X-Forwarded-Host'],
    values: ['for=1.2.3.4', '1.2.3.4'],
  },
  { names: ['X-Forwarded-Proto', 'X-Forwarded-Uri', 'X-Forwarded-Other'], values: ['http', '/x'] },
  { names: ['Audit-Id', 'audit-id'], values: ['mine', '', 'x'.repeat(65)] },
  { names: ['X-Cluster-Gateway-Hops'], values: ['0', '1', '5', '99', 'x', '', '1, 2'] },
  { names: ['Proxy-Authorization'], values: [`Basic ${SECRET}`] },
  { names: ['Te'], values: ['trailers'] },
  { names: ['TE', 'Te'], values: ['gzip', 'trailers, deflate', ''], http1Only: true },
  { names: ['Trailer'], values: ['X-T'] },
  {
    names: ['Connection'],
    values: ['X-A', 'x-a, Accept', 'close', 'Authorization', 'X-Forwarded-For'],
    http1Only: true,
  },
  {
    names: ['Connection'],
    values: ['X-Cluster-Gateway-Hops, X-Remote-User', '', ',', 'keep-alive, x-odd'],
    http1Only: true,
  },
  { names: ['Keep-Alive', 'Proxy-Connection'], values: ['timeout=5', 'close', 'x'], http1Only: true },
  { names: ['Expect'], values: ['100-continue', '100-Continue', 'other'], http1Only: true },
  {
    names: ['Sec-WebSocket-Protocol'],
    values: ['v4.channel.k8s.io', `base64url.bearer.authorization.k8s.io.${SECRET}`],
  },
  {
    names: ['Origin', 'Referer', 'Via', 'Warning', 'Traceparent'],
    values: ['https://x.test', '1.1 x', '199 - "x"'],
  },
  {
    names: ['Priority', 'Content-Encoding', 'Cache-Control', 'Max-Forwards'],
    values: ['u=1', 'gzip', 'no-cache', '0'],
  },
  { names: ['Proxy-Authenticate', 'Alt-Used', 'X-HTTP-Method-Override'], values: ['x', 'DELETE'] },
];
