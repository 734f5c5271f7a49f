import { X509Certificate, createPrivateKey } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readCertificateBundle } from './certificate-bundle.ts';
import { ensureSelfSigned } from './self-signed.ts';
import { createChainVerifier } from './verify-chain.ts';

let parent: string;
let directory: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'self-signed-'));
  directory = join(parent, 'apiserver.local.config', 'certificates');
});
afterEach(() => rmSync(parent, { recursive: true }));

const ensure = () =>
  ensureSelfSigned({ directory, dnsNames: ['gateway.ns.svc'], ipAddresses: ['127.0.0.1'] });

test('makes a pair that serves the names given', async () => {
  const files = await ensure();
  expect(files).toEqual({
    certificateFile: join(directory, 'apiserver.crt'),
    keyFile: join(directory, 'apiserver.key'),
    made: true,
  });
  const pem = readFileSync(files.certificateFile, 'utf8');
  const [serving, authority] = readCertificateBundle(pem).certificates;
  if (!serving || !authority) throw new Error('certificates are missing');
  expect(serving.checkPrivateKey(createPrivateKey(readFileSync(files.keyFile)))).toBe(true);
  expect([serving.checkHost('gateway.ns.svc'), serving.checkIP('127.0.0.1')]).toEqual([
    'gateway.ns.svc',
    '127.0.0.1',
  ]);
  const verifier = createChainVerifier(authority.toString(), { purpose: 'server' });
  expect(verifier.verify([serving])).toEqual({ ok: true });
});

test('nobody else reads the files, and nothing else is left', async () => {
  await ensure();
  expect(readdirSync(directory).toSorted()).toEqual(['apiserver.crt', 'apiserver.key']);
  for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
});

test('uses what is there', async () => {
  const { certificateFile } = await ensure();
  const before = readFileSync(certificateFile, 'utf8');
  expect((await ensure()).made).toBe(false);
  expect(readFileSync(certificateFile, 'utf8')).toBe(before);
  expect(() => new X509Certificate(before)).not.toThrow();
});

test.each([
  ['apiserver.crt', 'apiserver.key'],
  ['apiserver.key', 'apiserver.crt'],
])('does not overwrite %s when %s is missing', async (kept, missing) => {
  await ensure();
  rmSync(join(directory, missing));
  const before = readFileSync(join(directory, kept), 'utf8');
  await expect(ensure()).rejects.toThrow(missing);
  expect(readFileSync(join(directory, kept), 'utf8')).toBe(before);
});

test('says where it could not write', async () => {
  writeFileSync(join(parent, 'apiserver.local.config'), 'a file in the way');
  await expect(ensure()).rejects.toThrow(/apiserver\.local\.config/);
});
