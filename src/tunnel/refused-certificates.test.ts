import { once } from 'node:events';
import { connect } from 'node:tls';
import { expect, test, vi } from 'vitest';
import { silentLog } from '../base/log.ts';
import { testPki } from '../net/testing/certificates.ts';
import { eventually, onTestEnd } from '../net/testing/servers.ts';
import { issueCertificate } from '../pki/issue.ts';
import { listenForStreams } from './stream-listener.ts';

const hourMs = 3_600_000;
const dates = (from: number, to: number) => ({
  notBefore: new Date(Date.now() + from * hourMs),
  notAfter: new Date(Date.now() + to * hourMs),
});
const outOfDate = 'certificate has expired or is not yet valid';

test.each([
  ['that has expired', { usages: ['clientAuth' as const], ...dates(-2, -1) }, outOfDate],
  ['that is not yet valid', { usages: ['clientAuth' as const], ...dates(1, 2) }, outOfDate],
  ['of a server', { usages: ['serverAuth' as const] }, 'certificate specifies an incompatible key usage'],
])('the log says why the certificate of a client was refused: one %s', async (_, profile, reason) => {
  const { ca, server } = await testPki();
  const client = await issueCertificate({ commonName: 'client', ...profile }, { issuer: ca });
  const warn = vi.fn();
  const onConnection = vi.fn();
  const listener = await listenForStreams({
    address: { type: 'tcp', host: '127.0.0.1', port: 0 },
    tls: { ...server, clientCaPem: ca.certificatePem, minVersion: 'TLSv1.2', cipherSuites: [] },
    ...{ alpn: ['h2'], handshakeTimeoutMs: 5_000, maxConnections: 10, onConnection },
    log: { ...silentLog, warn },
  });
  onTestEnd(() => listener.destroy());
  const socket = connect({
    ...{ host: '127.0.0.1', port: listener.port, ca: ca.certificatePem, ALPNProtocols: ['h2'] },
    ...{ cert: client.certificatePem, key: client.privateKeyPem },
  });
  socket.on('error', () => {}).resume();
  await once(socket, 'close');
  await eventually(() => warn.mock.calls.length > 0);
  expect(warn.mock.calls).toEqual([
    [
      { reason: `tls: failed to verify certificate: x509: ${reason}` },
      'the certificate of a client was refused',
    ],
  ]);
  expect(onConnection).not.toHaveBeenCalled();
});
