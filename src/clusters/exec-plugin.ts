import { spawn } from 'node:child_process';
import { z } from 'zod';
import { Failure } from '../base/failure.ts';
import { Redacted } from '../base/redacted.ts';
import type { Endpoint, ExecConfig } from './cluster.ts';

/** What a credential plugin printed. */
export interface ExecCredential {
  readonly token?: Redacted<string>;
  readonly clientCertificate?: { readonly certificatePem: string; readonly privateKeyPem: Redacted<string> };
  /** Milliseconds since the epoch; undefined when the plugin names no end. */
  readonly expiresAt?: number;
}

export interface ExecPluginLimits {
  readonly timeoutMs: number;
  readonly maxOutputBytes: number;
}

export const defaultExecPluginLimits: ExecPluginLimits = { timeoutMs: 30_000, maxOutputBytes: 1024 * 1024 };

const credentialShape = z.object({
  apiVersion: z.string(),
  kind: z.literal('ExecCredential'),
  status: z.object({
    token: z.string().min(1).optional(),
    clientCertificateData: z.string().min(1).optional(),
    clientKeyData: z.string().min(1).optional(),
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
  limits: ExecPluginLimits = defaultExecPluginLimits,
): Promise<ExecCredential> {
  const output = await run(config, execInfo(config, endpoint), limits);
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
      `is configured to use API version ${config.apiVersion}, plugin returned version ${JSON.stringify(apiVersion.slice(0, 100))}`,
    );
  }
  return credentialFrom(config, status);
}

function credentialFrom(
  config: ExecConfig,
  status: z.infer<typeof credentialShape>['status'],
): ExecCredential {
  const { token, clientCertificateData, clientKeyData, expirationTimestamp } = status;
  if ((clientCertificateData === undefined) !== (clientKeyData === undefined)) {
    throw refused(config, 'returned only certificate or key, not both');
  }
  const trimmed = token?.trim();
  if (trimmed === undefined && clientCertificateData === undefined)
    throw refused(config, "didn't return a token or cert/key pair");
  if (trimmed !== undefined && !/^[\x21-\x7e]+$/.test(trimmed))
    throw refused(config, 'returned a token that no header may hold');
  const expiresAt = expirationTimestamp ? Date.parse(expirationTimestamp) : undefined;
  if (Number.isNaN(expiresAt))
    throw refused(config, 'returned an expirationTimestamp that is no RFC 3339 time');
  return {
    ...(trimmed === undefined ? {} : { token: new Redacted(trimmed) }),
    ...(clientCertificateData === undefined || clientKeyData === undefined
      ? {}
      : {
          clientCertificate: {
            certificatePem: clientCertificateData,
            privateKeyPem: new Redacted(clientKeyData),
          },
        }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

/** KUBERNETES_EXEC_INFO: tells a plugin which version to speak, and the cluster if it asked for that. */
function execInfo(config: ExecConfig, endpoint: Endpoint): string {
  const { trust } = endpoint;
  return JSON.stringify({
    kind: 'ExecCredential',
    apiVersion: config.apiVersion,
    spec: {
      interactive: false,
      ...(config.provideClusterInfo
        ? {
            cluster: {
              server: endpoint.url,
              ...(trust.type === 'ca'
                ? { 'certificate-authority-data': Buffer.from(trust.caPem).toString('base64') }
                : {}),
              ...(trust.type === 'none' ? { 'insecure-skip-tls-verify': true } : {}),
            },
          }
        : {}),
    },
  });
}

function run(config: ExecConfig, info: string, limits: ExecPluginLimits): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(config.command, config.args, {
      env: {
        ...process.env,
        ...Object.fromEntries(config.env.map(({ name, value }) => [name, value])),
        KUBERNETES_EXEC_INFO: info,
      },
      // Its own process group, so that what it started ends with it.
      detached: true,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const kill = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It is gone already.
      }
    };
    const fail = (failure: Failure) => {
      clearTimeout(timer);
      kill();
      child.stdout.destroy();
      reject(failure);
    };
    const timer = setTimeout(
      () =>
        fail(
          new Failure(
            'timeout',
            `exec: plugin ${quoted(config)} took longer than ${limits.timeoutMs / 1000} s`,
          ),
        ),
      limits.timeoutMs,
    );
    const chunks: Buffer[] = [];
    let size = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > limits.maxOutputBytes)
        fail(new Failure('too-large', `exec: plugin ${quoted(config)} printed too much`));
    });
    child.once('error', (error: NodeJS.ErrnoException) => {
      const text =
        error.code === 'ENOENT' ? `executable ${quoted(config)} not found` : `cannot run ${quoted(config)}`;
      fail(new Failure('refused', `exec: ${text}`, { cause: error }));
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve(Buffer.concat(chunks).toString('utf8'));
      else
        fail(
          new Failure(
            'refused',
            `exec: executable ${quoted(config)} failed with ${code === null ? `signal ${String(signal)}` : `exit code ${code}`}`,
          ),
        );
    });
  });
}

const quoted = ({ command }: ExecConfig) => JSON.stringify(command.slice(0, 200));
const refused = (config: ExecConfig, text: string) =>
  new Failure('refused', `exec: plugin ${quoted(config)} ${text}`);
