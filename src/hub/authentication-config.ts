import { X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { Log } from '../base/log.ts';
import type { Closable } from '../base/scope.ts';
import type { HubClient } from './client.ts';
import { createInformer } from './informer.ts';
import { parseJson } from './response-body.ts';

/** How a front proxy tells who its caller is: the `requestheader-*` keys of extension-apiserver-authentication. */
export interface RequestHeaderSettings {
  readonly caPem: string;
  readonly usernameHeaders: readonly string[];
  readonly groupHeaders: readonly string[];
  readonly extraHeaderPrefixes: readonly string[];
  /** Never defaulted: a hub that does not set the header does not clear a caller's own either. */
  readonly uidHeaders: readonly string[];
  /** Common names that may act as front proxy; empty: any that the CA signed. */
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
  /** Resolves when the hub has answered, also where it has no such ConfigMap. */
  synced(signal: AbortSignal): Promise<void>;
  /** Calls the listener with each new value; gives back what ends that. */
  subscribe(listener: (config: AuthenticationConfig) => void): () => void;
  /** Why the ConfigMap is not followed now. */
  readonly trouble: string | undefined;
}

const configMapShape = z.object({ data: z.record(z.string(), z.string()).nullish() });
const names = z.array(z.string());
const certificates = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Follows the ConfigMap: new CAs count from the next request on, with no restart. A bad update, or the ConfigMap's
 * going, keeps the last good value. A good one that names no front proxy any more ends the belief in it.
 */
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
  const listeners = new Set<(config: AuthenticationConfig) => void>();
  informer.subscribe((event) => {
    if (event.type !== 'added' && event.type !== 'modified') return;
    current = event.object;
    for (const listener of [...listeners]) listener(event.object);
  });
  return {
    current: () => current,
    synced: (signal) => informer.synced(signal),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    get trouble() {
      return informer.trouble;
    },
    close: () => informer.close(),
    destroy: (reason) => informer.destroy(reason),
  };
}

/** Throws where a key that is there cannot be read. */
export function decodeAuthenticationConfig(value: unknown): AuthenticationConfig {
  const data = configMapShape.safeParse(value).data?.data;
  if (!data) throw new Error('it has no data');
  const caPem = bundle(data, 'requestheader-client-ca-file');
  return {
    clientCa: bundle(data, 'client-ca-file'),
    requestHeader:
      caPem === undefined
        ? undefined
        : {
            caPem,
            usernameHeaders: list(data, 'requestheader-username-headers'),
            groupHeaders: list(data, 'requestheader-group-headers'),
            extraHeaderPrefixes: list(data, 'requestheader-extra-headers-prefix'),
            // Not defaulted: a front proxy that does not set the header does not clear a caller's own either.
            uidHeaders: list(data, 'requestheader-uid-headers'),
            allowedNames: list(data, 'requestheader-allowed-names'),
          },
  };
}

/** A JSON array in a string. */
function list(data: Readonly<Record<string, string>>, key: string): readonly string[] {
  const text = data[key];
  if (text === undefined || text === '') return [];
  const found = names.safeParse(parseJson(text)?.value).data;
  if (!found) throw new Error(`${key} is not a JSON array of strings`);
  // An empty header name or prefix would match what nobody meant.
  if (key !== 'requestheader-allowed-names' && found.some((name) => name.trim() === ''))
    throw new Error(`${key} holds an empty name`);
  return found;
}

function bundle(data: Readonly<Record<string, string>>, key: string): string | undefined {
  const text = data[key];
  if (text === undefined || text.trim() === '') return undefined;
  const found = text.match(certificates);
  if (!found) throw new Error(`${key} holds no certificate`);
  for (const certificate of found) checkCertificate(certificate, key);
  return text;
}

function checkCertificate(pem: string, key: string): void {
  try {
    new X509Certificate(pem);
  } catch {
    throw new Error(`${key} holds something that is no certificate`);
  }
}
