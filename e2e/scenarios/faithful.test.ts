import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { connect, constants, type ServerHttp2Stream } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { registerCluster } from '../worlds/register.ts';
import { until } from '../worlds/wait.ts';
import { type RecordingTarget, startTarget } from './identity-target.ts';
import { type Client, createClient } from './registration-client.ts';
import { describeGateway, proxyPath } from './registration-world.ts';
import { readWatch } from './watch-reader.ts';

/** What a target has made of an upload. */
interface Upload {
  bytes: number;
  readonly sha256: ReturnType<typeof createHash>;
  ended: boolean;
  closed: boolean;
}

await describeGateway('what passes is what was sent', (world) => {
  let target: RecordingTarget;
  const uploads = new Map<string, Upload>();
  const uploadOf = (path: string): Upload => {
    const upload = uploads.get(path);
    if (!upload) throw new Error(`nothing was uploaded to ${path}`);
    return upload;
  };

  beforeAll(async () => {
    const { kube } = world();
    target = await startTarget({ answer: (request, response) => take(request, response, uploads) });
    await registerCluster(kube, 'a', { cluster: kube.a, credential: 'X509Certificate' });
    await registerCluster(kube, 'target', {
      ...{ cluster: kube.a, credential: 'ServiceAccountToken' },
      ...{ endpoint: target.url, caPem: target.caPem },
    });
  });
  afterAll(() => target.close());

  test('[39] an event of a watch comes no more than 100 ms later than it does directly', async () => {
    const { kube, hub } = world();
    const { url, caPem, adminCertificatePem, adminKeyPem } = kube.a;
    const there = createClient({ url, caPem, certificatePem: adminCertificatePem, keyPem: adminKeyPem });
    const path = '/api/v1/namespaces/default/configmaps?watch=true&labelSelector=timed';
    const watches = [await readWatch(there, path), await readWatch(hub, proxyPath('a', path))] as const;
    const later: number[] = [];
    for (let i = 0; i < 15; i += 1) {
      const name = `timed-${i}`;
      const seen = watches.map((watch) =>
        watch.sees(name, ({ object }) => object.metadata?.name === name).then(() => performance.now()),
      );
      await kube.a.api.expect('/api/v1/namespaces/default/configmaps', {
        method: 'POST',
        body: { metadata: { name, labels: { timed: 'yes' } } },
      });
      const [direct = NaN, through = NaN] = await Promise.all(seen);
      later.push(through - direct);
    }
    for (const watch of watches) watch.end();
    there.close();
    expect(later.toSorted((one, other) => one - other)[7]).toBeLessThan(100);
  });

  test.each([
    ['', '/'],
    ['/', '/'],
    ['/healthz/', '/healthz/'],
    ['/a%2Fb/c;d=e/f%20g/~h', '/a%2Fb/c;d=e/f%20g/~h'],
    ['?x=1', '/?x=1'],
    ['/x?b=2&a=1&b=2&c&d=&%20=%2B+', '/x?b=2&a=1&b=2&c&d=&%20=%2B+'],
    ['/x?dryRun=All&__dryRun=All', '/x?dryRun=All&__dryRun=All'],
  ])('[49] %j reaches the cluster as %j, and nobody is redirected', async (sent, received) => {
    for (const door of ['hub', 'direct'] as const) {
      const { status } = await world()[door].call(proxyPath('target', sent));
      expect({ door, status, path: target.requests.at(-1)?.path }).toEqual({
        ...{ door, status: 200 },
        // kube-aggregator writes paths and queries anew, with Go's words for them; directly they are as they were.
        path: door === 'direct' ? received : expect.any(String),
      });
    }
  });

  test('[66] a warning of the cluster is shown by kubectl, once', async () => {
    const { kube, hub } = world();
    await kube.a.api.expect('/api/v1/namespaces', {
      method: 'POST',
      body: {
        metadata: { name: 'warned', labels: { 'pod-security.kubernetes.io/warn': 'restricted' } },
      },
    });
    const server = `${kube.hub.url}${proxyPath('a')}`;
    const args = ['create', 'deployment', 'x', '--image=x', '-n', 'warned', '--dry-run=server'];
    const { code, stderr } = await kube.kubectl([...args, `--server=${server}`], {
      kubeconfig: kube.hub.kubeconfig,
    });
    expect(code).toBe(0);
    expect(stderr.match(/Warning: would violate PodSecurity/g)).toHaveLength(1);
    expect((await hub.call(proxyPath('a', '/version'))).headers['warning']).toBeUndefined();
  });

  describe('[76] bodies', () => {
    const session = () => {
      const { kube, gateway } = world();
      const { adminCertificatePem: cert, adminKeyPem: key } = kube.hub;
      return connect(gateway.url, { ca: gateway.caPem, cert, key });
    };

    test('[76] 1 GiB is streamed to the cluster in flat memory', async () => {
      const client = session();
      const request = client.request({ ':method': 'POST', ':path': proxyPath('target', '/large') });
      const piece = randomBytes(1024 * 1024);
      const sent = createHash('sha256');
      const { pid } = world().gateway;
      const before = await residentBytes(pid);
      let most = before;
      for (let i = 0; i < 1024; i += 1) {
        sent.update(piece);
        if (!request.write(piece)) await once(request, 'drain');
        if (i % 32 === 0) most = Math.max(most, await residentBytes(pid));
      }
      request.end();
      const [headers] = (await once(request, 'response')) as [{ ':status'?: number }];
      expect(headers[':status']).toBe(200);
      client.destroy();
      const { bytes, sha256, ended } = uploadOf('/large');
      expect({ bytes, ended, sha256: sha256.digest('hex') }).toEqual({
        ...{ bytes: 1024 ** 3, ended: true, sha256: sent.digest('hex') },
      });
      expect(most - before).toBeLessThan(96 * 1024 * 1024);
    });

    test.each(['HTTP/2', 'HTTP/1.1'])(
      '[76] an upload that its caller gives up stops (%s)',
      async (protocol) => {
        const path = `/given-up-${protocol.length}`;
        if (protocol === 'HTTP/2') {
          const client = session();
          const request = client.request({ ':method': 'POST', ':path': proxyPath('target', path) });
          request.on('error', () => {});
          request.write(Buffer.alloc(100_000));
          await until('the upload to begin', () => Promise.resolve(uploads.get(path)), { timeoutMs: 5000 });
          // `close` would send END_STREAM first, and this would be a whole upload.
          request.destroy(new Error('given up'));
          await sleep(100);
          client.destroy();
        } else {
          const socket = await world().direct.connect();
          socket.on('error', () => {});
          socket.write(
            `POST ${proxyPath('target', path)} HTTP/1.1\r\nHost: g\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(1000)}`,
          );
          await until('the upload to begin', () => Promise.resolve(uploads.get(path)), { timeoutMs: 5000 });
          socket.destroy();
        }
        const closed = () => Promise.resolve(uploadOf(path).closed || undefined);
        await until('the upload to end', closed, { timeoutMs: 1000 });
        // Half an upload must never look whole.
        expect(uploadOf(path).ended).toBe(false);
      },
    );

    /** A body that waits to be asked for, and what is said before it is sent. */
    async function expecting(client: Client, path: string) {
      const socket = await client.connect();
      let said = '';
      socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
      socket.write(
        `POST ${proxyPath('target', path)} HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n`,
      );
      await expect.poll(() => said).not.toBe('');
      return { socket, said: () => said };
    }

    test('[76] Expect: 100-continue is answered before the body is sent', async () => {
      const { socket, said } = await expecting(world().direct, '/expected');
      expect(said()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
      socket.write('hello');
      await once(socket, 'close');
      expect(said()).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
      expect(uploadOf('/expected')).toMatchObject({ bytes: 5, ended: true });
    });

    test('[76] who may not is refused before the body is asked for', async () => {
      const { kube, gateway } = world();
      const nobody = createClient({ ...gateway, ...(await kube.hub.user('nobody')) });
      try {
        const { socket, said } = await expecting(nobody, '/refused');
        await expect.poll(() => socket.closed).toBe(true);
        expect(said()).toMatch(/^HTTP\/1\.1 403 /);
        expect(uploads.has('/refused')).toBe(false);
      } finally {
        nobody.close();
      }
    });

    test.each(['hub', 'direct'] as const)('[76] answers before the final one are told (%s)', async (door) => {
      const socket = await world()[door].connect();
      let said = '';
      socket.on('data', (chunk: Buffer) => (said += chunk.toString('latin1')));
      const path = proxyPath('target', '/hinted');
      socket.write(`GET ${path} HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n`);
      await once(socket, 'close');
      // The hub adds lines of its own to each.
      const hint =
        /^HTTP\/1\.1 103 Early Hints\r\n(?:[^\r]+\r\n)*?link: <\/a>; rel=preload\r\n(?:[^\r]+\r\n)*\r\n/i;
      expect(said.replace(hint, '').replace(hint, '')).toMatch(/^HTTP\/1\.1 200 /);
    });

    test.each(['hub', 'direct'] as const)('[76] gzip is passed as it is, both ways (%s)', async (door) => {
      const { status, headers } = await world()[door].call(proxyPath('target', `/zipped-${door}`), {
        method: 'POST',
        headers: ['content-type', 'application/json', 'content-encoding', 'gzip', 'accept-encoding', 'gzip'],
        body: zipped.toString('base64'),
      });
      expect(status).toBe(200);
      expect(headers['content-encoding']).toBe('gzip');
      expect(uploadOf(`/zipped-${door}`).sha256.digest('hex')).toBe(sha256(zipped.toString('base64')));
    });
  });
});

const zipped = gzipSync('{"a":"b"}');
const sha256 = (content: string) => createHash('sha256').update(content).digest('hex');

function take(request: IncomingMessage, response: ServerResponse, uploads: Map<string, Upload>): void {
  const path = request.url ?? '';
  const upload: Upload = { bytes: 0, sha256: createHash('sha256'), ended: false, closed: false };
  if (request.method === 'POST') uploads.set(path, upload);
  if (path === '/hinted')
    for (let i = 0; i < 2; i += 1) response.writeEarlyHints({ link: '</a>; rel=preload' });
  request.on('data', (chunk: Buffer) => {
    upload.bytes += chunk.length;
    upload.sha256.update(chunk);
  });
  response.once('close', () => (upload.closed = true));
  request.once('close', () => (upload.closed = true));
  request.once('end', () => {
    // Node says 'end' of an HTTP/2 stream that was reset, too.
    const { stream } = request as IncomingMessage & { readonly stream?: ServerHttp2Stream };
    upload.ended = stream?.rstCode !== constants.NGHTTP2_CANCEL;
    if (!upload.ended || response.destroyed) return;
    if (path.startsWith('/zipped')) response.writeHead(200, { 'content-encoding': 'gzip' }).end(zipped);
    else response.writeHead(200, { 'content-type': 'text/plain' }).end('taken');
  });
  request.resume();
}

async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
