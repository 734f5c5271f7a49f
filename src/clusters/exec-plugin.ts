import { z } from 'zod';
import { Failure } from '../base/failure.ts';
import { Redacted } from '../base/redacted.ts';
import type { Endpoint, ExecConfig } from './cluster.ts';
import { execPluginEnvironment } from './exec-plugin-environment.ts';
import { runPluginProcess } from './exec-plugin-process.ts';
import type { PluginLimits } from './exec-plugin-process.ts';
import { checkKeyPair, validityOfToken } from './validity.ts';

/** What a credential plugin printed. */
export interface ExecCredential {
  readonly token?: Redacted<string>;
  readonly clientCertificate?: { readonly certificatePem: string; readonly privateKeyPem: Redacted<string> };
  /** Milliseconds since the epoch; undefined when neither the plugin nor the credential itself names an end. */
  readonly expiresAt?: number;
}

export const defaultExecPluginLimits: PluginLimits = { timeoutMs: 30_000, maxOutputBytes: 1024 * 1024 };

export interface ExecPluginRun {
  readonly signal: AbortSignal;
  readonly limits?: PluginLimits;
}

const credentialShape = z.object({
  apiVersion: z.string(),
  kind: z.literal('ExecCredential'),
  status: z.object({
    token: z.string().nullish(),
    clientCertificateData: z.string().nullish(),
    clientKeyData: z.string().nullish(),
    expirationTimestamp: z.string().nullish(),
  }),
});

/**
 * Runs a credential plugin as client-go does (client-go plugin/pkg/client/auth/exec). Rejects with a Failure whose
 * message never repeats what the plugin printed: that may be the credential.
 */
export async function runExecPlugin(
  config: ExecConfig,
  endpoint: Endpoint,
  { signal, limits = defaultExecPluginLimits }: ExecPluginRun,
): Promise<ExecCredential> {
  const { command, args } = config;
  const environment = execPluginEnvironment(config, endpoint);
  const output = await runPluginProcess({ command, args, environment }, limits, signal);
  let parsed: unknown;
  try {
    parsed = JSON.parse(output);
  } catch {
    throw refused(config, 'did not print JSON');
  }
  const result = credentialShape.safeParse(parsed);
  if (!result.success) throw refused(config, 'did not print an ExecCredential with a status');
  const { apiVersion, status } = result.data;
  if (apiVersion !== config.apiVersion) {
    throw refused(
      config,
      `is configured to use API version ${config.apiVersion}, plugin returned another version`,
    );
  }
  return credentialFrom(config, status);
}

type Status = z.infer<typeof credentialShape>['status'];

/** An empty value is none, as in Go. A token wins over a certificate, as in the Go gateway. */
function credentialFrom(config: ExecConfig, status: Status): ExecCredential {
  if (!status.clientCertificateData !== !status.clientKeyData)
    throw refused(config, 'returned only certificate or key, not both');
  const said = status.expirationTimestamp ? Date.parse(status.expirationTimestamp) : undefined;
  if (Number.isNaN(said)) throw refused(config, 'returned an expirationTimestamp that is no RFC 3339 time');
  const token = status.token?.trim();
  if (token) {
    if (!/^[\x21-\x7e]+$/.test(token)) throw refused(config, 'returned a token that no header may hold');
    return { token: new Redacted(token), ...endingAt(said ?? validityOfToken(token)?.until) };
  }
  if (!status.clientCertificateData || !status.clientKeyData)
    throw refused(config, "didn't return a token or cert/key pair");
  const clientCertificate = {
    certificatePem: status.clientCertificateData,
    privateKeyPem: new Redacted(status.clientKeyData),
  };
  const pair = checkKeyPair(status.clientCertificateData, status.clientKeyData);
  if (pair.type !== 'good') throw refused(config, 'returned a certificate and a key that cannot be used');
  return { clientCertificate, ...endingAt(said ?? pair.validity.until) };
}

const endingAt = (expiresAt: number | undefined) => (expiresAt === undefined ? {} : { expiresAt });

const refused = ({ command }: ExecConfig, text: string) =>
  new Failure('refused', `exec: plugin ${JSON.stringify(command.slice(0, 200))} ${text}`);
