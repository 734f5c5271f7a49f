import type { Registry } from 'prom-client';
import type { AuthenticationMethod } from '../apiserver/authenticator.ts';
import { createBearerTokenMethod } from '../apiserver/bearer-token.ts';
import { createClientCertificateMethod } from '../apiserver/client-certificate.ts';
import { createClientCertificateMetric } from '../apiserver/certificate-metrics.ts';
import { countReviewCache } from '../apiserver/delegation-metrics.ts';
import { createFrontProxyMethod } from '../apiserver/front-proxy.ts';
import type { RequestHeaderSettings } from '../hub/authentication-config.ts';
import type { Log } from '../base/log.ts';
import type { Scope } from '../base/scope.ts';
import { createAuthenticationConfigReader } from '../hub/authentication-config.ts';
import type { AuthenticationConfigReader } from '../hub/authentication-config.ts';
import type { HubClient } from '../hub/client.ts';
import type { ReviewObserver } from '../hub/post-review.ts';
import { createTokenReviewer } from '../hub/token-review.ts';
import { createReloadingFile } from '../pki/reloading-file.ts';
import type { IdentityHeaders } from '../proxy/headers.ts';
import type { GatewayOptions } from './gateway-options.ts';

export interface GatewayAuthentication {
  /** In kube-apiserver's order. */
  readonly methods: readonly AuthenticationMethod[];
  readonly identityHeaders: () => IdentityHeaders;
  /** Undefined when callers through the hub can be recognised; otherwise what is missing. */
  readonly missing: () => string | undefined;
  readonly synced: (signal: AbortSignal) => Promise<void>;
}

/** Who may call, from the hub's ConfigMap and from flags; a flag's CA replaces the ConfigMap's. */
export async function createGatewayAuthentication(parts: {
  options: GatewayOptions;
  client: HubClient;
  metrics: Registry;
  observe: ReviewObserver;
  scope: Scope;
  log: Log;
}): Promise<GatewayAuthentication> {
  const { options, client, metrics, observe, scope, log } = parts;
  const reader = options.skipAuthenticationLookup
    ? undefined
    : scope.own(createAuthenticationConfigReader({ client, log }));
  const clientCa = await caFile(options.clientCaFile, scope, log);
  const requestHeader = await requestHeaderSource(options, reader, { scope, log });
  const tokens = createTokenReviewer({
    client,
    audiences: options.apiAudiences,
    cacheTtlMs: options.tokenCacheTtlMs,
    observe,
  });
  const tokenCache = {
    name: 'authentication_token_cache_request_total',
    help: 'Bearer tokens that were known already (hit), or had to be reviewed (miss).',
  };
  countReviewCache(metrics, tokenCache, () => tokens.counts);
  return {
    methods: [
      createFrontProxyMethod(requestHeader),
      createClientCertificateMethod(
        clientCa ?? (() => reader?.current()?.clientCa),
        createClientCertificateMetric(metrics),
      ),
      createBearerTokenMethod(tokens),
    ],
    identityHeaders: memoizedIdentityHeaders(requestHeader),
    missing: () => {
      if (options.tolerateAuthenticationLookupFailure || !reader || requestHeader()) return undefined;
      return 'kube-system/extension-apiserver-authentication has not been read, or names no front proxy';
    },
    synced: async (signal) => {
      if (reader && !options.tolerateAuthenticationLookupFailure) await reader.synced(signal);
    },
  };
}

async function caFile(path: string | undefined, scope: Scope, log: Log): Promise<(() => string) | undefined> {
  if (path === undefined) return undefined;
  const file = scope.own(
    await createReloadingFile(path, {
      onError: (error) => log.warn({ err: error, path }, 'a CA file cannot be read; the last one is kept'),
    }),
  );
  return () => file.current();
}

async function requestHeaderSource(
  options: GatewayOptions,
  reader: AuthenticationConfigReader | undefined,
  parts: { scope: Scope; log: Log },
): Promise<() => RequestHeaderSettings | undefined> {
  const { clientCaFile, ...headers } = options.requestHeader;
  const caPem = await caFile(clientCaFile, parts.scope, parts.log);
  if (!caPem) return () => reader?.current()?.requestHeader;
  let config: RequestHeaderSettings | undefined;
  return () => {
    const current = caPem();
    if (config?.caPem !== current) config = { ...headers, caPem: current };
    return config;
  };
}

const lower = (names: readonly string[]) => names.map((name) => name.toLowerCase());

/** Made once for each configuration: every proxied request asks for them. */
function memoizedIdentityHeaders(current: () => RequestHeaderSettings | undefined): () => IdentityHeaders {
  const empty: IdentityHeaders = { names: new Set(), prefixes: [] };
  let source: RequestHeaderSettings | undefined;
  let headers = empty;
  return () => {
    const config = current();
    if (config !== source) {
      source = config;
      headers = config
        ? {
            names: new Set(lower([...config.usernameHeaders, ...config.groupHeaders, ...config.uidHeaders])),
            prefixes: lower(config.extraHeaderPrefixes),
          }
        : empty;
    }
    return headers;
  };
}
