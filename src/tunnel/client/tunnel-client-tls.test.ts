import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { silentLog } from '../../base/log.ts';
import type { IssuedCertificate } from '../../pki/certificate-profile.ts';
import { issueCertificate } from '../../pki/issue.ts';
import { createClientTls } from '../../net/tls.ts';
import type { ClientTls } from '../../net/tls.ts';
import { testPki } from '../../net/testing/certificates.ts';
import type { TestPki } from '../../net/testing/certificates.ts';
import { eventually, listen, onTestEnd } from '../../net/testing/servers.ts';
import { failureOf } from '../../net/testing/streams.ts';
import { cluster, never, tunnelTo } from '../testing/dial-under-test.ts';
import { echo } from '../testing/frontend-call.ts';
import { startFrontendServer } from '../testing/frontend-server.ts';
import type { FrontendServerOptions } from '../testing/frontend-server.ts';
import type { ServerTls } from '../stream-listener.ts';
import { createTunnelDial } from './tunnel-client.ts';
import { readTunnelTls } from './tunnel-tls.ts';

let pki: TestPki;
let second: IssuedCertificate;
beforeAll(async () => {
  pki = await testPki();
  second = await issueCertificate({ commonName: 'second', usages: ['clientAuth'] }, { issuer: pki.ca });
});

const serverTls = (): ServerTls => ({
  ...{ certificatePem: pki.server.certificatePem, privateKeyPem: pki.server.privateKeyPem },
  ...{ clientCaPem: pki.ca.certificatePem, minVersion: 'TLSv1.2', cipherSuites: [] },
});

const clientTls = (client: IssuedCertificate | undefined, ca = pki.ca.certificatePem) =>
  createClientTls({
    ca,
    ...(client && { certificatePem: client.certificatePem, privateKeyPem: client.privateKeyPem }),
  });

const fixed = (tls: ClientTls) => ({ current: () => tls, onChange: () => () => undefined });

const start = (more: FrontendServerOptions = {}) =>
  startFrontendServer({ onDial: echo, tls: serverTls(), ...more });

/** The certificate is for `localhost`. */
const named = (host = 'localhost') => ({ server: { type: 'tcp', host, port: 8090 } }) as const;

describe('TLS to the server', () => {
  test('with a client certificate, HTTP/2 and the name that is configured', async () => {
    const server = await start();
    const dial = tunnelTo({ a: server }, { ...named(), tls: fixed(clientTls(pki.client)) });
    const socket = await dial(cluster, never);
    expect(server.calls[0]?.lines.join(' ')).toContain(':scheme https :authority localhost:8090 ');
    socket.destroy();
  });

  test('whose certificate is for another name', async () => {
    const server = await start();
    const dial = tunnelTo({ a: server }, { ...named('tunnel.test'), tls: fixed(clientTls(pki.client)) });
    const failure = await failureOf(dial(cluster, never));
    expect(failure).toMatchObject({ kind: 'untrusted', sent: false });
    expect(failure.message).toBe(
      'tunnel server tunnel.test:8090 cannot be reached: tls: failed to verify certificate: x509: certificate is valid for localhost, not tunnel.test',
    );
  });

  test('whose certificate somebody else signed', async () => {
    const server = await start();
    const other = await issueCertificate({ commonName: 'other', ca: true });
    const tls = fixed(clientTls(pki.client, other.certificatePem));
    const failure = await failureOf(tunnelTo({ a: server }, { ...named(), tls })(cluster, never));
    expect(failure.kind).toBe('untrusted');
    expect(failure.message).toContain('certificate signed by unknown authority');
  });

  test('that wants a certificate', async () => {
    const server = await start();
    const tls = fixed(clientTls(undefined));
    const failure = await failureOf(tunnelTo({ a: server }, { ...named(), tls })(cluster, never));
    expect(failure.message).toMatch(/cannot be reached: remote error: tls: certificate required/);
  });

  test('that speaks no HTTP/2', async () => {
    const server = await start({ alpn: ['http/1.1'] });
    const tls = fixed(clientTls(pki.client));
    const failure = await failureOf(tunnelTo({ a: server }, { ...named(), tls })(cluster, never));
    expect(failure.message).toMatch(/no application protocol/);
    const silent = await listen(
      createServer({ cert: pki.server.certificatePem, key: pki.server.privateKeyPem }, (socket: TLSSocket) =>
        socket.on('error', () => undefined),
      ),
    );
    const none = await failureOf(tunnelTo({ a: silent.address }, { ...named(), tls })(cluster, never));
    expect(none.message).toMatch(/does not speak HTTP\/2: is it in mode http-connect\?$/);
  });

  test('that never says a word', async () => {
    const silent = await listen(
      createServer(
        { cert: pki.server.certificatePem, key: pki.server.privateKeyPem, ALPNProtocols: ['h2'] },
        (socket: TLSSocket) => socket.on('error', () => undefined).resume(),
      ),
    );
    const options = { ...named(), tls: fixed(clientTls(pki.client)), limits: { connectTimeoutMs: 100 } };
    const failure = await failureOf(tunnelTo({ a: silent.address }, options)(cluster, never));
    expect(failure.message).toMatch(/cannot be reached: http2: timeout awaiting SETTINGS$/);
  });
});

describe('certificates that change', () => {
  test('count for new connections; what is open goes on until it ends', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tunnel-'));
    onTestEnd(() => rm(directory, { recursive: true }));
    const paths = ['ca.crt', 'tls.crt', 'tls.key'].map((name) => join(directory, name));
    const [caFile = '', certificateFile = '', keyFile = ''] = paths;
    const write = async ({ certificatePem, privateKeyPem }: IssuedCertificate) => {
      await writeFile(caFile, pki.ca.certificatePem);
      await writeFile(certificateFile, certificatePem);
      await writeFile(keyFile, privateKeyPem);
    };
    await write(pki.client);
    const errors: string[] = [];
    const tls = await readTunnelTls(
      { caFile, certificateFile, keyFile },
      { onError: ({ message }) => errors.push(message) },
    );
    onTestEnd(() => tls.destroy());
    const server = await start();
    const dial = tunnelTo({ a: server }, { ...named(), tls });
    const upgrade = await dial(cluster, never);
    (await dial(cluster, never)).destroy();
    expect(server.accepted).toBe(1);

    await writeFile(certificateFile, second.certificatePem);
    await tls.reload();
    expect(errors).toEqual([expect.stringMatching(/ca\.crt.*tls\.crt.*tls\.key.*key values mismatch/)]);
    (await dial(cluster, never)).destroy();
    expect(server.accepted).toBe(1);

    await write(second);
    await tls.reload();
    (await dial(cluster, never)).destroy();
    expect(server.accepted).toBe(2);
    upgrade.write('still there');
    await eventually(() => server.calls[0]?.receivedBytes === 11);
    upgrade.destroy();
    await eventually(() => server.connections.size === 1);
  });

  test('that cannot be read at the start end it, and show nothing', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tunnel-'));
    onTestEnd(() => rm(directory, { recursive: true }));
    const file = join(directory, 'x');
    await writeFile(file, 's3cret');
    const files = { caFile: file, certificateFile: file, keyFile: file };
    const error = await readTunnelTls(files, { onError: () => undefined }).catch((thrown: unknown) => thrown);
    expect(String(error)).toContain(file);
    expect(String(error)).not.toContain('s3cret');
  });
});

test('the real resolver finds localhost', async () => {
  const server = await start();
  const dial = createTunnelDial({
    ...{ mode: 'grpc', server: { type: 'tcp', host: 'localhost', port: server.port } },
    ...{ tls: fixed(clientTls(pki.client)), log: silentLog },
  });
  onTestEnd(() => dial.destroy());
  (await dial(cluster, never)).destroy();
  expect(server.calls.length).toBe(1);
});
