import { z } from 'zod';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import type { HubClient } from './client.ts';
import { createInformer } from './informer.ts';

/** How the hub's front proxy says who its caller is. */
export interface RequestHeaderSettings {
  readonly caPem: string;
  readonly usernameHeaders: readonly string[];
  readonly groupHeaders: readonly string[];
  readonly extraHeaderPrefixes: readonly string[];
  readonly uidHeaders: readonly string[];
  readonly allowedNames: readonly string[];
}

/** What kube-system/extension-apiserver-authentication says. */
export interface AuthenticationConfig {
  readonly clientCa: string | undefined;
  /** Undefined where the hub has no request-header CA: then nobody is believed to be a front proxy. */
  readonly requestHeader: RequestHeaderSettings | undefined;
}

export interface AuthenticationConfigReader extends Closable {
  /** The last good value; undefined until the first. */
  current(): AuthenticationConfig | undefined;
  synced(signal: AbortSignal): Promise<void>;
}

const configMapShape = z.object({ data: z.record(z.string(), z.string()).nullish() });
const names = z.array(z.string());

/** Follows the ConfigMap: new CAs count from the next request on, with no restart. A bad update keeps the last good one. */
export function createAuthenticationConfigReader(options: {
  client: HubClient;
  log: Log;
}): AuthenticationConfigReader {
  const { client, log } = options;
  let current: AuthenticationConfig | undefined;
  const informer = createInformer<AuthenticationConfig>({
    client,
    path: '/api/v1/namespaces/kube-system/configmaps',
    fieldSelector: 'metadata.name=extension-apiserver-authentication',
    decode: decodeAuthenticationConfig,
    log,
  });
  informer.subscribe((event) => {
    if (event.type === 'added' || event.type === 'modified') current = event.object;
  });
  return {
    current: () => current,
    synced: (signal) => informer.synced(signal),
    close: () => informer.close(),
    destroy: (reason) => informer.destroy(reason),
  };
}

/** Throws where a key that is there cannot be read. */
export function decodeAuthenticationConfig(value: unknown): AuthenticationConfig {
  const data = configMapShape.parse(value).data ?? {};
  const list = (key: string) => {
    const text = data[key];
    return text === undefined || text === '' ? [] : names.parse(JSON.parse(text));
  };
  const caPem = data['requestheader-client-ca-file'];
  return {
    clientCa: data['client-ca-file'] || undefined,
    requestHeader: caPem
      ? {
          caPem,
          usernameHeaders: list('requestheader-username-headers'),
          groupHeaders: list('requestheader-group-headers'),
          extraHeaderPrefixes: list('requestheader-extra-headers-prefix'),
          uidHeaders: list('requestheader-uid-headers'),
          allowedNames: list('requestheader-allowed-names'),
        }
      : undefined,
  };
}
