import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';

import { issueCertificate } from '../src/pki/issue.ts';
import { openUpgrade } from './upgrade-driver.ts';

const closing: (() => void)[] = [];
afterEach(() => closing.splice(0).forEach((close) => close()));

async function serve(answer: string): Promise<{ url: string; caPem: string; token: string }> {
  const ca = await issueCertificate({ commonName: 'ca', ca: true });
  const serving = await issueCertificate(
    { commonName: 'x', usages: ['serverAuth'], ipAddresses: ['127.0.0.1'] },
    { issuer: ca },
  );
  const server = createServer({ cert: serving.certificatePem, key: serving.privateKeyPem });
  server.on('upgrade', (_request, socket) => {
    socket.on('error', () => {});
    socket.end(answer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => server.close());
  const { port } = server.address() as AddressInfo;
  return { url: `https://127.0.0.1:${port}/exec?command=cat`, caPem: ca.certificatePem, token: 't' };
}

test('what follows the head of a 101 is there to be read', async () => {
  const socket = await openUpgrade(await serve('HTTP/1.1 101 Switching Protocols\r\n\r\nfirst bytes'));
  const [part] = (await once(socket, 'data')) as [Buffer];
  expect(part.toString()).toBe('first bytes');
  socket.destroy();
});

test('another answer than 101 is an error', async () => {
  await expect(openUpgrade(await serve('HTTP/1.1 403 Forbidden\r\n\r\n'))).rejects.toThrow(
    'the upgrade was answered HTTP/1.1 403 Forbidden',
  );
});

test('a connection that ends without an answer is an error', async () => {
  await expect(openUpgrade(await serve(''))).rejects.toThrow('the upgrade was not answered');
});
