import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';

import { box, boxPod } from '../worlds/node.ts';
import { until } from '../worlds/wait.ts';
import { type AuditEvent, auditEnd, auditSince } from './audit-log.ts';
import { startConnectProxy, startSocksProxy } from './egress-proxies.ts';
import { expectPages, portForward } from './port-forward.ts';
import { lastDescendant, runKubectl } from './running-kubectl.ts';
import { secretKubeconfig } from './secret-kubeconfig.ts';
import { describeScenarios, proxyUrl } from './world.ts';

const run = promisify(execFile);
const spdy = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' };
/** A pod that answers the lines it reads, for attach. */
const echo = 'echo';
/** A pod that is on no node. */
const unplaced = 'unplaced';

await describeScenarios(
  'streams through hub and gateway',
  (world) => {
    let direct: string;
    beforeAll(async () => {
      await world().register('a', { cluster: 'a', credential: 'X509Certificate' });
      direct = await secretKubeconfig(world(), 'a', world().a);
      await startEcho();
      const pod = boxPod(unplaced) as { spec: { nodeName?: string } };
      delete pod.spec.nodeName;
      await world().a.api.expect('/api/v1/namespaces/default/pods', { method: 'POST', body: pod });
    });

    async function startEcho(): Promise<void> {
      const pod = boxPod(echo) as { spec: { containers: { command: string[] }[] } };
      for (const container of pod.spec.containers) {
        container.command = ['sh', '-c', 'while read line; do echo "got $line"; echo "err $line" >&2; done'];
      }
      await world().a.api.expect('/api/v1/namespaces/default/pods', { method: 'POST', body: pod });
      const ready = ['wait', 'pod', echo, '--for=condition=Ready', '--timeout=20s'];
      expect(await world().kubectl(ready, { kubeconfig: world().a.kubeconfig })).toMatchObject({ code: 0 });
    }

    const through = () => ({ kubeconfig: world().hub.kubeconfig, server: proxyUrl(world(), 'a') });
    const kubectl = (args: readonly string[], more = {}) => world().kubectl(args, { ...through(), ...more });
    const start = (args: readonly string[], more = {}) =>
      runKubectl(world(), args, { ...through(), ...more });

    /** Events of pod `box` in cluster a's audit log that tell of the end of a stream. */
    async function streamEnds(since: number, marker: string): Promise<readonly AuditEvent[]> {
      const events = await auditSince(world().a.auditLog, since);
      return events.filter(
        ({ stage, requestURI }) => stage === 'ResponseComplete' && requestURI.includes(marker),
      );
    }

    describe.each([
      ['WebSocket', {}, 'get'],
      ['SPDY', spdy, 'create'],
    ])('over %s', (protocol, env, verb) => {
      test('[44] exec keeps stdin, stdout, stderr and the exit code apart', async () => {
        const since = await auditEnd(world().a.auditLog);
        const script = 'read line; echo "got $line"; echo oops >&2; exit 7';
        const args = ['exec', '-i', box.name, '--', 'sh', '-c', script];
        const result = await kubectl(args, { env, stdin: 'hello\n' });
        expect(result).toEqual({
          code: 7,
          stdout: 'got hello\n',
          stderr: 'oops\ncommand terminated with exit code 7\n',
        });
        // One request, of the protocol that was asked for: a fallback would be a second one.
        await until('the end of exec', async () => (await streamEnds(since, '/exec?'))[0], {
          timeoutMs: 3000,
        });
        const verbs = (await streamEnds(since, '/exec?')).map((event) => event.verb);
        expect(verbs).toEqual([verb]);
      });

      test('[44] exec carries 20 MB of input', async () => {
        const content = randomBytes(20 * 1024 * 1024);
        const result = await kubectl(['exec', '-i', box.name, '--', 'md5sum'], { env, stdin: content });
        expect(result).toMatchObject({
          code: 0,
          stdout: `${createHash('md5').update(content).digest('hex')}  -\n`,
        });
      });

      test('[44] exec carries 20 MB of output', async () => {
        const script = 'head -c 20971520 /dev/zero | tr "\\0" x';
        const { code, stdout } = await kubectl(['exec', box.name, '--', 'sh', '-c', script], { env });
        expect({ code, length: stdout.length, rest: stdout.replaceAll('x', '') }).toEqual({
          code: 0,
          length: 20_971_520,
          rest: '',
        });
      });

      test('[44] exec on a terminal follows its size', async () => {
        const script = 'tty; while :; do stty size; sleep 0.1; done';
        const shell = start(['exec', '-it', box.name, '--', 'sh', '-c', script], { env, tty: true });
        try {
          await shell.says(/\/dev\/pts\/\d/);
          const terminal = await readlink(`/proc/${await lastDescendant(shell.child.pid ?? 0)}/fd/0`);
          for (const [rows, columns] of [
            ['40', '100'],
            ['23', '77'],
          ] as const) {
            await run('stty', ['-F', terminal, 'rows', rows, 'cols', columns]);
            await shell.says(new RegExp(`^${rows} ${columns}\r`, 'm'));
          }
          shell.write('\x03');
          expect(await shell.exited).toMatchObject({ code: 130 });
        } finally {
          await shell.kill();
        }
      });

      test('[47] what goes wrong with exec reads as at the cluster', async () => {
        for (const args of [
          ['exec', 'nobody', '--', 'true'],
          // The cluster refuses this one's upgrade: kubectl has seen the pod.
          ['exec', unplaced, '--', 'true'],
          ['exec', box.name, '-c', 'nothing', '--', 'true'],
          ['exec', box.name, '--', 'no-such-program'],
          ['logs', box.name, '-c', 'nothing'],
          ['attach', 'nobody'],
          ['port-forward', 'nobody', ':80'],
        ]) {
          const [there, here] = await Promise.all([
            world().kubectl(args, { kubeconfig: direct, env }),
            kubectl(args, { env }),
          ]);
          expect(here.code, args.join(' ')).not.toBe(0);
          expect(here.stderr).not.toBe('');
          expect(withoutIds(here.stderr), args.join(' ')).toBe(withoutIds(there.stderr));
          expect({ ...here, stderr: '' }).toEqual({ ...there, stderr: '' });
        }
      });

      test('[45] attach reads and writes a running process', async () => {
        const attached = start(['attach', '-i', echo], { env });
        try {
          const word = `word-${protocol}`;
          attached.write(`${word}\n`);
          await attached.says(new RegExp(`got ${word}`));
          await until(
            'stderr',
            () => Promise.resolve(attached.stderr().includes(`err ${word}`) || undefined),
            {
              timeoutMs: 5000,
            },
          );
          expect(attached.stdout()).not.toContain('err ');
        } finally {
          await attached.kill();
        }
      });

      test('[43] cp carries 100 MB both ways', async () => {
        const folder = await mkdtemp(join(world().directory, 'cp-'));
        const content = randomBytes(100 * 1024 * 1024);
        await writeFile(join(folder, 'there'), content);
        const there = await kubectl(['cp', 'there', `${box.name}:/tmp/there`], { env, cwd: folder });
        expect(there).toMatchObject({ code: 0 });
        const sum = await kubectl(['exec', box.name, '--', 'sha256sum', '/tmp/there'], { env });
        expect(sum.stdout).toBe(`${sha256(content)}  /tmp/there\n`);
        const back = await kubectl(['cp', `${box.name}:/tmp/there`, 'back'], { env, cwd: folder });
        expect(back).toMatchObject({ code: 0 });
        expect(sha256(await readFile(join(folder, 'back')))).toBe(sha256(content));
      });

      test('[45] port-forward carries 20 requests at once', async () => {
        await expectPages(start(portForward, { env }));
      });

      test('[39] killing kubectl ends the stream and its process at the cluster', async () => {
        const marker = `killed-${protocol}`;
        const since = await auditEnd(world().a.auditLog);
        const shell = start(['exec', '-i', box.name, '--', 'sh', '-c', `echo ${marker}; cat; : ${marker}`], {
          env,
        });
        await shell.says(new RegExp(marker));
        expect(await streamEnds(since, marker)).toEqual([]);
        await shell.kill();
        await until('the cluster to end it', async () => (await streamEnds(since, marker))[0], {
          timeoutMs: 1500,
        });
        const processes = ['exec', box.name, '--', 'ps', '-o', 'args'];
        await until(
          'its process to be gone',
          async () => {
            const { stdout } = await world().kubectl(processes, { kubeconfig: direct });
            return (stdout.includes('ps -o args') && !stdout.includes(marker)) || undefined;
          },
          { timeoutMs: 3000 },
        );
      });
    });

    test('[42] logs, and with -f each line as it is written', async () => {
      expect(await kubectl(['logs', box.name, '--limit-bytes=7'])).toMatchObject({
        code: 0,
        stdout: 'tick 0\n',
      });
      const follow = start(['logs', '-f', '--tail=1', box.name]);
      try {
        await until('four lines', () => Promise.resolve(follow.lines()[3]), { timeoutMs: 10_000 });
        // The pod writes one line each second; lines that were held back arrive together.
        const times = follow.lines().map(({ at }) => at);
        const gaps = times.slice(2).map((at, index) => at - (times[index + 1] ?? at));
        expect(Math.min(...gaps)).toBeGreaterThan(300);
        const numbers = follow.lines().map(({ text }) => Number(text.replace('tick ', '')));
        expect(numbers.map((number) => number - (numbers[0] ?? 0)).slice(0, 4)).toEqual([0, 1, 2, 3]);
      } finally {
        await follow.kill();
      }
    });

    test('[42] logs of a moment are those of the cluster', async () => {
      const args = ['logs', echo, '--timestamps'];
      const [there, here] = [await world().kubectl(args, { kubeconfig: direct }), await kubectl(args)];
      expect(here).toEqual(there);
      expect(here.stdout).toContain('got word-SPDY');
    });

    test.each([
      ['logs -f', ['logs', '-f', '--tail=1', box.name], '/log?'],
      ['a watch', ['get', 'pods', '-w'], 'watch=true'],
    ])('[39] killing kubectl ends %s at the cluster', async (_, args, marker) => {
      const since = await auditEnd(world().a.auditLog);
      const running = start(args);
      await running.says(/\w/);
      const begun = async (): Promise<true | undefined> =>
        (await auditSince(world().a.auditLog, since)).some(({ requestURI }) => requestURI.includes(marker)) ||
        undefined;
      await until('it to begin at the cluster', begun, { timeoutMs: 5000 });
      expect(await streamEnds(since, marker)).toEqual([]);
      await running.kill();
      await until('the cluster to end it', async () => (await streamEnds(since, marker))[0], {
        timeoutMs: 1500,
      });
    });

    test('[39] a watch and a port-forward are held for 90 s in which nothing comes', async () => {
      const quiet = ['get', 'pods', '-w', '--output-watch-events', '-l', 'held=yes'];
      const watch = start(quiet);
      const forward = start(['port-forward', box.name, `:${box.port}`]);
      try {
        const [, port = ''] = await forward.says(/127\.0\.0\.1:(\d+)/);
        await sleep(91_000);
        expect(await (await fetch(`http://127.0.0.1:${port}/index.html`)).text()).toBe('world\n');
        const label = ['label', 'pod', box.name, 'held=yes'];
        expect(await world().kubectl(label, { kubeconfig: direct })).toMatchObject({ code: 0 });
        await watch.says(/ADDED/);
      } finally {
        await watch.kill();
        await forward.kill();
      }
    });

    describe('[50] a server in the cluster, by the proxies of its API server', () => {
      test.each([
        [`pods/${box.name}:${box.port}/proxy/index.html`],
        [`pods/http:${box.name}:${box.port}/proxy/index.html?a=b`],
        [`pods/${box.name}:${box.port}/proxy/`],
        [`pods/${box.name}:${box.port}/proxy/no/such/%2Ffile`],
        ['services/nothing:80/proxy/'],
      ])('%s answers as it does directly', async (path) => {
        const get = ['get', '--raw', `/api/v1/namespaces/${box.namespace}/${path}`];
        const there = await world().kubectl(get, { kubeconfig: direct });
        if (path.endsWith('index.html')) expect(there.stdout).toBe('world\n');
        expect(await kubectl(get)).toEqual(there);
      });
    });

    test.each([
      ['http', startConnectProxy],
      ['socks5', startSocksProxy],
    ] as const)(
      '[44][45] upgrades through an egress proxy (%s) with a password',
      async (scheme, startProxy) => {
        const proxy = await startProxy('jane:p@ss');
        const name = `behind-${scheme}`;
        const data = { 'proxy-url': `${scheme}://jane:p%40ss@127.0.0.1:${proxy.port}` };
        await world().register(name, { cluster: 'a', credential: 'X509Certificate', data });
        const server = proxyUrl(world(), name);
        const content = randomBytes(5 * 1024 * 1024);
        const command = ['sh', '-c', 'md5sum; echo oops >&2; exit 7'];
        try {
          for (const env of [{}, spdy]) {
            const connections = proxy.asked.length;
            const args = ['exec', '-i', box.name, '--', ...command];
            expect(await kubectl(args, { server, env, stdin: content })).toEqual({
              code: 7,
              stdout: `${createHash('md5').update(content).digest('hex')}  -\n`,
              stderr: 'oops\ncommand terminated with exit code 7\n',
            });
            const forward = start(['port-forward', box.name, `:${box.port}`], { server, env });
            try {
              const [, port = ''] = await forward.says(/127\.0\.0\.1:(\d+)/);
              expect(await (await fetch(`http://127.0.0.1:${port}/index.html`)).text()).toBe('world\n');
            } finally {
              await forward.kill();
            }
            // Each upgrade has a connection of its own, through the proxy.
            expect(proxy.asked.length - connections).toBeGreaterThanOrEqual(2);
          }
          expect(new Set(proxy.asked)).toEqual(new Set([new URL(world().a.url).host]));
          const held = start(['exec', '-i', box.name, '--', 'cat'], { server });
          held.write('alive\n');
          await held.says(/alive/);
          proxy.close();
          expect(await held.exited).toMatchObject({ code: 1 });
          const after = await kubectl(['get', 'pods'], { server });
          expect(after).toMatchObject({ code: 1, stdout: '' });
          expect(after.stderr).not.toContain('p@ss');
        } finally {
          proxy.close();
        }
      },
    );

    test('a cluster whose API server is killed ends the streams of its callers, as it does directly', async () => {
      const kinds = [
        { args: ['exec', '-i', box.name, '--', 'cat'] },
        { args: ['exec', '-i', box.name, '--', 'cat'], env: spdy },
        { args: ['logs', '-f', '--tail=1', box.name] },
      ].map(({ args, env = {} }) => [
        start(args, { env }),
        runKubectl(world(), args, { kubeconfig: direct, env }),
      ]);
      const streams = kinds.flat();
      try {
        for (const stream of streams) stream.write('alive\n');
        for (const stream of streams) await stream.says(/alive|tick/);
        const killed = performance.now();
        await world().a.stop();
        const ended = Promise.all(streams.map(({ exited }) => exited));
        const ends = await Promise.race([ended, sleep(10_000)]);
        expect(performance.now() - killed).toBeLessThan(3000);
        const [websocket, websocketThere, viaSpdy, viaSpdyThere] = ends ?? [];
        expect(websocket).toEqual({ code: 1, signal: null });
        expect(websocketThere).toEqual(websocket);
        expect(viaSpdy).toEqual(viaSpdyThere);
        const after = await kubectl(['exec', box.name, '--', 'true']);
        expect(after.code).toBe(1);
        expect(after.stderr).toContain('error trying to reach cluster "a"');
      } finally {
        for (const stream of streams) await stream.kill();
        await world().a.start();
      }
    });

    test('when the cluster is back, streams work again', async () => {
      const again = await kubectl(['exec', box.name, '--', 'echo', 'back']);
      expect(again).toEqual({ code: 0, stdout: 'back\n', stderr: '' });
    });
  },
  { node: true },
);

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Every exec has an id of its own in the container runtime's messages. */
function withoutIds(text: string): string {
  return text.replaceAll(/[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ID');
}
