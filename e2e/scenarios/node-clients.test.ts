import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { PassThrough, Writable } from 'node:stream';
import { CoreV1Api, Exec, KubeConfig, Log, Watch } from '@kubernetes/client-node';
import type { V1Status } from '@kubernetes/client-node';
import { beforeAll, expect, test } from 'vitest';
import { WebSocket } from 'ws';

import { box } from '../worlds/node.ts';
import { until } from '../worlds/wait.ts';
import { describeScenarios, proxyUrl } from './world.ts';

/** A stream that remembers what was written to it. */
function collector(): { stream: Writable; text: () => string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString('utf8') };
}

await describeScenarios(
  'Node clients through hub and gateway',
  (world) => {
    let config: KubeConfig;
    beforeAll(async () => {
      await world().register('a', { cluster: 'a', credential: 'ServiceAccountToken' });
      config = new KubeConfig();
      config.loadFromFile(world().hub.kubeconfig);
      const [cluster] = config.clusters;
      if (!cluster) throw new Error('the kubeconfig of the hub has no cluster');
      config.clusters = [{ ...cluster, server: proxyUrl(world(), 'a') }];
    });

    test('@kubernetes/client-node lists, creates and deletes', async () => {
      const core = config.makeApiClient(CoreV1Api);
      const pods = await core.listNamespacedPod({ namespace: box.namespace });
      expect(pods.items.map(({ metadata }) => metadata?.name)).toContain(box.name);
      const body = { metadata: { name: 'from-node' }, data: { a: 'b' } };
      await core.createNamespacedConfigMap({ namespace: box.namespace, body });
      const read = await core.readNamespacedConfigMap({ namespace: box.namespace, name: 'from-node' });
      expect(read.data).toEqual({ a: 'b' });
      await core.deleteNamespacedConfigMap({ namespace: box.namespace, name: 'from-node' });
      await expect(
        core.readNamespacedConfigMap({ namespace: box.namespace, name: 'from-node' }),
      ).rejects.toMatchObject({ code: 404 });
    });

    test('its watch sees a change, and can be ended', async () => {
      const core = config.makeApiClient(CoreV1Api);
      const seen: string[] = [];
      let ended = false;
      const watching = await new Watch(config).watch(
        `/api/v1/namespaces/${box.namespace}/configmaps`,
        {},
        (type: string, object: { metadata?: { name?: string } }) =>
          seen.push(`${type} ${object.metadata?.name ?? ''}`),
        () => (ended = true),
      );
      await core.createNamespacedConfigMap({
        namespace: box.namespace,
        body: { metadata: { name: 'watched' } },
      });
      await core.deleteNamespacedConfigMap({ namespace: box.namespace, name: 'watched' });
      const both = () =>
        Promise.resolve(
          seen.includes('ADDED watched') && seen.includes('DELETED watched') ? true : undefined,
        );
      await until('both events', both, { timeoutMs: 5_000 });
      watching.abort();
      await until('the end of the watch', () => Promise.resolve(ended || undefined), { timeoutMs: 5_000 });
    });

    test('its exec keeps the streams and the exit code apart', async () => {
      const [out, err] = [collector(), collector()];
      const input = new PassThrough();
      const status = new Promise<V1Status>((resolve, reject) => {
        const command = ['sh', '-c', 'read line; echo "got $line"; echo oops >&2; exit 7'];
        new Exec(config)
          .exec(
            box.namespace,
            box.name,
            box.container,
            command,
            out.stream,
            err.stream,
            input,
            false,
            resolve,
          )
          .catch(reject);
      });
      input.write('hello\n');
      const { status: outcome, details } = await status;
      expect(outcome).toBe('Failure');
      expect(details?.causes).toEqual([{ reason: 'ExitCode', message: '7' }]);
      expect([out.text(), err.text()]).toEqual(['got hello\n', 'oops\n']);
    });

    test('its log follows', async () => {
      const lines = collector();
      // Two lines and a bit: the second is written while the log is followed. (Aborting a followed log is an
      // uncaught error in client-node 2.0: it pipes a stream that nobody listens to.)
      const options = { follow: true, tailLines: 1, limitBytes: 20 };
      await new Log(config).log(box.namespace, box.name, box.container, lines.stream, options);
      await once(lines.stream, 'finish');
      expect(lines.text()).toMatch(/^tick \d+\ntick \d+\n/);
    });

    test('a WebSocket of its own speaks v5.channel.k8s.io, with half-close of stdin', async () => {
      const user = config.getCurrentUser();
      const query = 'command=cat&stdin=true&stdout=true';
      const socket = new WebSocket(
        `${proxyUrl(world(), 'a')}/api/v1/namespaces/${box.namespace}/pods/${box.name}/exec?${query}`.replace(
          /^https/,
          'wss',
        ),
        ['v5.channel.k8s.io'],
        {
          ca: world().hub.caPem,
          cert: Buffer.from(user?.certData ?? '', 'base64'),
          key: Buffer.from(user?.keyData ?? '', 'base64'),
        },
      );
      const frames: Buffer[] = [];
      socket.on('message', (data: Buffer) => frames.push(data));
      await once(socket, 'open');
      expect(socket.protocol).toBe('v5.channel.k8s.io');
      socket.send(Buffer.from('\0through the gateway'));
      // Channel 255 closes a channel (KEP-4006): cat ends when its stdin does.
      socket.send(Buffer.from([255, 0]));
      await once(socket, 'close');
      const onChannel = (channel: number) =>
        frames
          .filter((frame) => frame[0] === channel)
          .map((frame) => frame.subarray(1).toString())
          .join('');
      expect(onChannel(1)).toBe('through the gateway');
      expect(JSON.parse(onChannel(3))).toMatchObject({ status: 'Success' });
    });

    test('none of them left a trace of a credential in the gateway’s log', () => {
      const log = readFileSync(world().gateway.log, 'utf8');
      expect(log).not.toMatch(/Bearer |BEGIN (?:EC |RSA )?PRIVATE KEY|eyJhbGciOi/);
    });
  },
  { node: true, gateway: { flags: ['--v=6'] } },
);
