import { execFile } from 'node:child_process';
import { mkdtemp, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';

import { issueCertificate } from '../../src/pki/issue.ts';
import { describeGateway } from './registration-world.ts';

const folder = await mkdtemp(join(tmpdir(), 'tls-scenario-'));
const file = (name: string) => join(folder, name);

async function writePair(name: string, commonName: string): Promise<void> {
  const pair = await issueCertificate({ commonName, dnsNames: [commonName], usages: ['serverAuth'] });
  for (const [end, text] of [
    ['crt', pair.certificatePem],
    ['key', pair.privateKeyPem],
  ] as const) {
    await writeFile(file(`${name}.${end}.new`), text, { mode: 0o600 });
    await rename(file(`${name}.${end}.new`), file(`${name}.${end}`));
  }
}
await writePair('foo', 'foo.test');
await writePair('local', 'local.test');

const flags = [
  `--tls-sni-cert-key=${file('foo.crt')},${file('foo.key')}:*.foo.test,foo.test`,
  `--tls-sni-cert-key=${file('local.crt')},${file('local.key')}`,
  '--tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  '--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
];

await describeGateway(
  'TLS',
  (world) => {
    /** What `openssl s_client` says of a handshake. */
    const probe = (...args: readonly string[]) =>
      new Promise<string>((resolve) => {
        const { port } = world().gateway;
        const child = execFile(
          'openssl',
          ['s_client', '-connect', `127.0.0.1:${port}`, ...args],
          { timeout: 10_000 },
          (_, stdout, stderr) => resolve(stdout + stderr),
        );
        child.stdin?.end();
      });
    const subject = async (...args: readonly string[]) =>
      /subject=.*CN ?= ?(\S+)/.exec(await probe(...args))?.[1];

    describe('[73] TLS as the flags say', () => {
      test.each(['-tls1', '-tls1_1'])('[73] %s is refused', async (version) => {
        const said = await probe(version, '-cipher', 'DEFAULT@SECLEVEL=0');
        expect(said).toMatch(/alert protocol version|unsupported protocol/);
        expect(said).not.toMatch(/Server certificate\n-----BEGIN/);
      });

      test('[73] --tls-cipher-suites is honoured', async () => {
        expect(await probe('-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-GCM-SHA256')).toMatch(
          /alert handshake failure/,
        );
        expect(await probe('-tls1_2', '-cipher', 'ECDHE-ECDSA-AES256-GCM-SHA384')).toMatch(
          /Cipher +(?:is|:) ECDHE-ECDSA-AES256-GCM-SHA384/,
        );
        expect(await probe('-tls1_3')).toMatch(/TLSv1\.3, Cipher is/);
      });

      test('[73] --tls-sni-cert-key: by its patterns, by the names in it, or not at all', async () => {
        expect(await subject('-servername', 'x.foo.test')).toBe('foo.test');
        expect(await subject('-servername', 'foo.test')).toBe('foo.test');
        expect(await subject('-servername', 'local.test')).toBe('local.test');
        expect(await subject('-servername', 'elsewhere.test')).toBe('cluster-gateway');
        expect(await subject('-noservername')).toBe('cluster-gateway');
      });

      test('a certificate by name is read again; a broken one leaves the last that was good', async () => {
        await writePair('foo', 'renewed.test');
        await expect.poll(() => subject('-servername', 'foo.test'), { timeout: 60_000 }).toBe('renewed.test');
        await writeFile(file('foo.crt'), 'broken');
        await writePair('local', 'local.test.renewed');
        await expect
          .poll(() => subject('-servername', 'local.test.renewed'), { timeout: 60_000 })
          .toBe('local.test.renewed');
        expect(await subject('-servername', 'foo.test')).toBe('renewed.test');
      });

      test('the hub works meanwhile', async () => {
        expect((await world().hub.call('/apis/cluster.core.oam.dev/v1alpha1')).status).toBe(200);
      });
    });
  },
  { flags },
);
