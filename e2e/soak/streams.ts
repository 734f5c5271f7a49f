import { runKubectl, type RunningKubectl } from '../scenarios/running-kubectl.ts';
import { proxyPath } from '../scenarios/registration-world.ts';
import { box } from '../worlds/node.ts';
import { pause, type Soak } from './soak.ts';

const spdy = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' };
const silenceMs = 10_000;

/** kubectl with the pods of cluster a, as its users have it open all day. */
export async function runStreams(soak: Soak): Promise<void> {
  await Promise.all([
    hold(soak, 'logs -f', ['logs', '-f', '--tail=1', box.name], {}),
    hold(soak, 'exec, WebSocket', ['exec', '-i', box.name, '--', 'cat'], {}),
    hold(soak, 'exec, SPDY', ['exec', '-i', box.name, '--', 'cat'], spdy),
    forwardWhenIdle(soak, 'port-forward, WebSocket', {}),
    forwardWhenIdle(soak, 'port-forward, SPDY', spdy),
    execAgain(soak),
  ]);
}

const through = ({ kube }: Soak, env: Readonly<Record<string, string>>) => ({
  ...{ kubeconfig: kube.hub.kubeconfig, server: kube.hub.url + proxyPath('a'), env },
});

/** A stream that says something every second: one that ends or falls silent has failed, and is opened again. */
async function hold(
  soak: Soak,
  what: string,
  ...[args, env]: [args: readonly string[], env: Readonly<Record<string, string>>]
): Promise<void> {
  const fail = (why: string, at: number): void =>
    soak.notes.fail({ cluster: 'a', what: `${what}: ${why}`, at, ms: performance.now() - at });
  while (!soak.ended()) {
    const started = performance.now();
    const stream = runKubectl(soak.kube, args, through(soak, env));
    soak.notes.count(what);
    while (!soak.ended()) {
      if (args[0] === 'exec') stream.write(`${Date.now()}\n`);
      await pause(soak, 1_000);
      const silence = performance.now() - (stream.lines().at(-1)?.at ?? started);
      if (silence > silenceMs) fail(`silent for ${silence.toFixed(0)} ms`, started);
      else if (stream.child.exitCode !== null) fail(`ended: ${stream.stderr().slice(-300)}`, started);
      else continue;
      break;
    }
    await stream.kill();
  }
}

/** A forwarded port that nobody uses for more than five minutes (or half the soak) still works. */
async function forwardWhenIdle(
  soak: Soak,
  what: string,
  env: Readonly<Record<string, string>>,
): Promise<void> {
  const idleMs = Math.min(330_000, soak.minutes * 20_000);
  while (!soak.ended()) {
    const started = performance.now();
    const forward = runKubectl(soak.kube, ['port-forward', box.name, `:${box.port}`], through(soak, env));
    try {
      await useForward(soak, forward);
      await pause(soak, idleMs);
      if (!soak.ended()) await useForward(soak, forward);
      soak.notes.count(what);
    } catch (error) {
      const why = `${String(error)} ${forward.stderr().slice(-300)}`;
      soak.notes.fail({
        cluster: 'a',
        what: `${what}: ${why}`,
        at: started,
        ms: performance.now() - started,
      });
      await pause(soak, 1_000);
    } finally {
      await forward.kill();
    }
  }
}

async function useForward({ ended }: Soak, forward: RunningKubectl): Promise<void> {
  const [, port = ''] = await forward.says(/127\.0\.0\.1:(\d+)/);
  const answer = await fetch(`http://127.0.0.1:${port}/index.html`, { headers: { connection: 'close' } });
  const text = await answer.text();
  if (!ended() && text !== 'world\n') throw new Error(`it said ${text}`);
}

/** Commands that come and go. */
async function execAgain(soak: Soak): Promise<void> {
  for (let i = 0; !soak.ended(); i += 1) {
    const started = performance.now();
    const args = ['exec', box.name, '--', 'sh', '-c', `echo ${i}; exit 3`];
    const { code, stdout, stderr } = await soak.kube.kubectl(args, through(soak, i % 2 === 0 ? {} : spdy));
    soak.notes.count('short exec');
    if (code !== 3 || stdout !== `${i}\n`)
      soak.notes.fail({
        ...{ cluster: 'a', what: `exec: ${code} ${stdout} ${stderr}`, at: started },
        ms: performance.now() - started,
      });
    await pause(soak, 5_000);
  }
}
