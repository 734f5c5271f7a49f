import { X509Certificate } from 'node:crypto';
import { unlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { silentLog } from '../base/log.ts';
import { Scope } from '../base/scope.ts';
import type { ServerTls } from '../tunnel/stream-listener.ts';
import { createPortCertificates } from './port-certificates.ts';
import { issuePortMaterial, materialDirectory } from './testing/tunnel-material.ts';
import type { PortMaterial } from './testing/tunnel-material.ts';

let [one, two]: PortMaterial[] = [];
let directory: ReturnType<typeof materialDirectory>;
let scope: Scope;
const log = { ...silentLog, error: vi.fn() };

beforeAll(async () => {
  [one, two] = [await issuePortMaterial('one'), await issuePortMaterial('two')];
});
beforeEach(() => {
  directory = materialDirectory();
  scope = new Scope();
  log.error.mockClear();
});
afterEach(async () => {
  await scope.close();
  directory.remove();
});

const material = (which: PortMaterial | undefined): PortMaterial => {
  if (!which) throw new Error('not issued yet');
  return which;
};

async function open(more: { clientCaFile?: string | undefined } = {}) {
  const files = { ...directory.write('port', material(one)), ...more };
  const certificates = scope.own(
    await createPortCertificates({
      ...{ ...files, name: 'agent', log },
      ...{ minVersion: 'TLSv1.3', cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'] },
    }),
  );
  return { certificates, files };
}

const subjectOf = ({ certificatePem }: ServerTls) => new X509Certificate(certificatePem).subject;
const authorityOf = ({ clientCaPem }: ServerTls) => new X509Certificate(clientCaPem ?? '').subject;

test('what a port needs', async () => {
  const { certificates } = await open();
  expect(certificates.current()).toEqual({
    ...material(one).server,
    clientCaPem: material(one).ca.certificatePem,
    minVersion: 'TLSv1.3',
    cipherSuites: ['ECDHE-RSA-AES128-GCM-SHA256'],
  });
});

test('no authority where clients are not known by certificates', async () => {
  const { certificates } = await open({ clientCaFile: undefined });
  expect(certificates.current().clientCaPem).toBeUndefined();
});

test('listeners hear of new certificates and new authorities, until they end that', async () => {
  const { certificates } = await open();
  const heard: string[] = [];
  const end = certificates.onChange((tls) => heard.push(`${subjectOf(tls)} ${authorityOf(tls)}`));
  directory.write('port', material(two));
  await vi.waitFor(() => expect(heard.at(-1)).toBe('CN=two-server CN=two-ca'), 5_000);
  end();
  const before = heard.length;
  directory.write('port', material(one));
  await vi.waitFor(() => {
    expect(subjectOf(certificates.current())).toBe('CN=one-server');
    expect(authorityOf(certificates.current())).toBe('CN=one-ca');
  }, 5_000);
  expect(heard).toHaveLength(before);
});

test('listeners hear of new authorities alone', async () => {
  const { certificates, files } = await open();
  const heard: ServerTls[] = [];
  certificates.onChange((tls) => heard.push(tls));
  writeFileSync(files.clientCaFile ?? '', material(two).ca.certificatePem);
  await vi.waitFor(() => expect(heard.map(authorityOf)).toEqual(['CN=two-ca']), 5_000);
  expect(heard.map(subjectOf)).toEqual(['CN=one-server']);
});

test.each([
  ['an authority that is none', 'no certificate here', /there is no certificate in .*ca\.crt/],
  [
    'an authority that is broken',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    /there is no certificate in .*ca\.crt/,
  ],
])('%s is not taken, and told once', async (_, content, problem) => {
  const { certificates, files } = await open();
  writeFileSync(files.clientCaFile ?? '', content);
  await vi.waitFor(() => expect(log.error).toHaveBeenCalledTimes(1), 5_000);
  expect(log.error).toHaveBeenCalledWith(
    { err: expect.objectContaining({ message: expect.stringMatching(problem) }), port: 'agent' },
    'a certificate cannot be read; the last one is kept',
  );
  expect(authorityOf(certificates.current())).toBe('CN=one-ca');
});

test('authorities of which one is broken are not taken', async () => {
  const { certificates, files } = await open();
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  writeFileSync(files.clientCaFile ?? '', material(two).ca.certificatePem + broken);
  await vi.waitFor(() => expect(log.error).toHaveBeenCalled(), 5_000);
  expect(authorityOf(certificates.current())).toBe('CN=one-ca');
});

test('a pair that does not fit is not taken', async () => {
  const { certificates, files } = await open();
  writeFileSync(files.keyFile, material(two).server.privateKeyPem);
  await vi.waitFor(() => expect(log.error).toHaveBeenCalledTimes(1), 5_000);
  expect(subjectOf(certificates.current())).toBe('CN=one-server');
});

test('what cannot be read at the start is an error that names the file', async () => {
  const files = directory.write('port', material(one));
  unlinkSync(files.clientCaFile ?? '');
  const options = { ...files, name: 'agent', log, minVersion: 'TLSv1.2', cipherSuites: [] } as const;
  await expect(createPortCertificates(options)).rejects.toThrow(/ca\.crt/);
});
