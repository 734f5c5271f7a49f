import { once } from 'node:events';
import { connect } from 'node:tls';
import type { ConnectionOptions } from 'node:tls';
import { describe, expect, test } from 'vitest';
import { issueCertificate } from '../pki/issue.ts';
import { certificateForAddress, certificateForName, certificatesByName } from './sni-certificates.ts';
import { startListener } from './testing/served.ts';

const issue = (commonName: string, dnsNames: readonly string[] = []) =>
  issueCertificate({ commonName, dnsNames: [...dnsNames], usages: ['serverAuth'] });

async function shown(port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  try {
    await once(socket, 'secureConnect');
    return `${socket.getPeerX509Certificate()?.subject ?? ''} ${socket.getProtocol() ?? ''} ${socket.getCipher().name}`;
  } finally {
    socket.destroy();
  }
}

describe('which certificate has a name', () => {
  test('given names before those in certificates, the first before later ones, exact before wildcard', async () => {
    const [own, given, second, wild] = await Promise.all([
      issue('own', ['a.test', 'b.test', '*.c.test']),
      issue('given', ['ignored.test']),
      issue('second', ['b.test', 'd.test']),
      issue('wild'),
    ]);
    const byName = certificatesByName([
      { ...own, names: [] },
      { ...given, names: ['A.test', '10.0.0.1', '::1'] },
      { ...second, names: [] },
      { ...wild, names: ['*.d.test', '*.c.test'] },
    ]);
    const named = (name: string) =>
      [own, given, second, wild].find(
        (each) => each.certificatePem === certificateForName(byName, name)?.certificatePem,
      );
    expect(named('a.test')).toBe(given);
    expect(named('A.TEST')).toBe(given);
    expect(named('b.test')).toBe(own);
    expect(named('d.test')).toBe(second);
    expect(named('x.d.test')).toBe(wild);
    expect(named('x.c.test')).toBe(wild);
    expect(named('own')).toBe(own);
    for (const none of ['ignored.test', 'x.y.d.test', 'test', '']) expect(named(none), none).toBeUndefined();
    expect(certificateForAddress(byName, '::ffff:10.0.0.1')?.certificatePem).toBe(given.certificatePem);
    expect(certificateForAddress(byName, '::1')?.certificatePem).toBe(given.certificatePem);
    expect(certificateForAddress(byName, 'a.test')).toBeUndefined();
  });
});

describe('the certificate that is shown', () => {
  test('is chosen by name, then by local address, and new ones are shown to new connections', async () => {
    const [named, local, renewed] = await Promise.all([issue('named'), issue('local'), issue('renewed')]);
    const listener = await startListener((exchange) => exchange.respond(200, []), {
      host: '0.0.0.0',
      sniCertificates: [
        { ...named, names: ['*.foo.test'] },
        { ...local, names: ['127.0.0.2'] },
      ],
    });
    const { port } = listener;
    const subject = async (options: ConnectionOptions) => (await shown(port, options)).split(' ')[0];
    expect(await subject({})).toBe('CN=gateway');
    expect(await subject({ servername: 'x.foo.test' })).toBe('CN=named');
    expect(await subject({ servername: 'elsewhere.test' })).toBe('CN=gateway');
    expect(await subject({ host: '127.0.0.2' })).toBe('CN=local');
    expect(await subject({ host: '127.0.0.2', servername: 'x.foo.test' })).toBe('CN=named');
    expect(await subject({ host: '127.0.0.2', servername: 'elsewhere.test' })).toBe('CN=local');
    listener.setCertificates(await issue('main'), [{ ...renewed, names: ['*.foo.test', '127.0.0.2'] }]);
    expect(await subject({})).toBe('CN=main');
    expect(await subject({ servername: 'x.foo.test' })).toBe('CN=renewed');
    expect(await subject({ host: '127.0.0.2' })).toBe('CN=renewed');
  });
});

describe('what TLS is spoken', () => {
  const ok = { handle: () => {} };
  test.each(['TLSv1', 'TLSv1.1'] as const)('%s is refused', async (version) => {
    const { port } = await startListener(ok.handle);
    // OpenSSL's own default refuses it on the client's side; at level 0 it does not.
    const old = { minVersion: version, maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' };
    await expect(shown(port, old)).rejects.toThrow(/protocol version|unsupported protocol/i);
  });

  test.each(['AES128-GCM-SHA256', 'AES128-SHA', 'ECDHE-ECDSA-AES128-SHA', 'DHE-RSA-AES128-GCM-SHA256'])(
    'suites without forward secrecy or AEAD are not offered (%s)',
    async (ciphers) => {
      const { port } = await startListener(ok.handle);
      await expect(shown(port, { maxVersion: 'TLSv1.2', ciphers })).rejects.toThrow(/handshake failure/i);
    },
  );

  test('suites that are named are the ones, and TLS 1.3 is there beside them', async () => {
    const { port } = await startListener(ok.handle, { cipherSuites: ['ECDHE-ECDSA-AES256-GCM-SHA384'] });
    expect(await shown(port, { maxVersion: 'TLSv1.2' })).toContain('ECDHE-ECDSA-AES256-GCM-SHA384');
    await expect(
      shown(port, { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }),
    ).rejects.toThrow(/handshake failure/i);
    expect(await shown(port)).toContain('TLSv1.3');
  });

  test('a minimum of TLS 1.3 refuses TLS 1.2', async () => {
    const { port } = await startListener(ok.handle, { minTlsVersion: 'TLSv1.3' });
    await expect(shown(port, { maxVersion: 'TLSv1.2' })).rejects.toThrow(/protocol version/i);
  });

  test('renegotiation is refused', async () => {
    const { port } = await startListener((exchange) => exchange.respond(200, []));
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
    await once(socket, 'secureConnect');
    const refused = new Promise<Error | null>((resolve) => {
      socket.on('error', resolve);
      socket.renegotiate({}, (error) => resolve(error));
    });
    expect((await refused)?.message).toMatch(/no renegotiation/i);
    socket.destroy();
  });
});
