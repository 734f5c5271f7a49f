/** What a request is about, as an authorizer is asked. */
export type Attributes =
  | {
      readonly verb: string;
      readonly group: string;
      readonly version: string;
      readonly resource: string;
      readonly subresource: string;
      readonly namespace: string;
      readonly name: string;
    }
  | { readonly verb: string; readonly path: string };

/** All that Kubernetes has verbs for, and some that it has none for. */
export const methods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'];

const named = 'fieldSelector=metadata.name%3Dfoo';

/** Paths to a cluster that can be read in two ways: refused before anybody is asked. */
export const refused: readonly string[] = [
  ...['/clustergateways/foo/proxy//x', '/clustergateways//proxy/x', '/clustergateways/foo/proxy/%2e%2e/x'],
  ...['/clustergateways/foo;a/proxy/x', '/watch/clustergateways/foo/proxy/x'],
  ...['/namespaces/x/clustergateways/foo/proxy/y'],
];

/**
 * Paths and queries below the group version; `foo` is a cluster that there is. `/watch` and `/proxy` alone are not
 * among them: the hub itself answers that it cannot read them.
 */
export const targets: readonly string[] = [
  ...['', '/', '//', '/clustergateways', '/clustergateways/', '/clustergateways//', '//clustergateways'],
  ...['/clustergateways?watch=true', '/clustergateways?watch=1', '/clustergateways?watch=0'],
  ...['/clustergateways?watch=false', '/clustergateways?watch=False', '/clustergateways?watch'],
  ...['/clustergateways?watch=banana', '/clustergateways?watch=0&watch=1', '/clustergateways?WATCH=1'],
  ...[
    '/clustergateways/foo',
    '/clustergateways/foo/',
    '/clustergateways//foo',
    '/clustergateways/foo?watch=1',
  ],
  ...['/clustergateways/foo/proxy', '/clustergateways/foo/proxy/', '/clustergateways/foo/proxy/healthz/'],
  ...['/clustergateways/foo/proxy/api/v1/namespaces/x/pods/y/log', '/clustergateways/foo/proxy/a?watch=true'],
  ...['/clustergateways/foo//proxy/x'],
  ...['/clustergateways/foo/health', '/clustergateways/foo/health/x', '/clustergateways/foo/PROXY/x'],
  ...['/ClusterGateways/foo', '/clustergateways;a/foo', '/virtualclusters'],
  ...['/watch/clustergateways', '/watch/clustergateways/foo'],
  ...['/proxy/clustergateways/foo', '/proxy/clustergateways/foo/proxy/x', '/watch/watch/clustergateways'],
  ...['/watch/namespaces/x/clustergateways', '/redirect/clustergateways/foo'],
  ...['/namespaces', '/namespaces/', '/namespaces/x', '/namespaces/x/', '/namespaces/x/status'],
  ...['/namespaces/x/finalize', '/namespaces/x/status/y', '/namespaces/x/clustergateways'],
  ...['/namespaces/x/clustergateways/foo', '/namespaces//foo'],
  ...['/clustergateways/foo%2Fproxy', '/clustergateways/foo%2Fproxy%2Fx', '/clustergateways/f%6fo/proxy/x'],
  ...['/%63lustergateways/foo', '/clustergateways/foo%252Fproxy/x', '/clustergateways/a%20b', '/a%2Fb/c'],
  ...['/clustergateways/%E7%94%A8', '/clustergateways/foo/../bar', '/clustergateways/%2e%2e/x'],
  ...['/clustergateways/foo/health/../proxy/x', '/clustergateways/./foo'],
  ...[`/clustergateways?${named}`, `/clustergateways?watch=1&${named}`, `/clustergateways?${named}&limit=x`],
  ...[`/clustergateways?${named}&labelSelector=a%3Db%3Dc`, `/clustergateways?${named},metadata.name%3Dbar`],
  ...[`/clustergateways?${named},metadata.name!%3Dbar`, `/clustergateways?${named}&timeoutSeconds=x`],
  ...[`/clustergateways?${named}&${named}`, '/clustergateways?fieldSelector=metadata.name!%3Dfoo'],
  ...[
    '/clustergateways?fieldSelector=metadata.name%3D..',
    '/clustergateways?fieldSelector=metadata.name%3Da/b',
  ],
  ...['/clustergateways?fieldSelector=metadata.name%3D%3Dfoo', '/clustergateways?fieldSelector=%3D%3D'],
  ...[
    '/clustergateways?fieldSelector=spec.x%3D1',
    '/clustergateways?labelSelector=a',
    '/nothing/at/all/here',
  ],
  ...[`/clustergateways?${named}&resourceVersionMatch=banana`, `/clustergateways?${named}&watch=banana`],
  ...[`/clustergateways?${named}&sendInitialEvents=x`, `/clustergateways?${named}&allowWatchBookmarks=x`],
];
