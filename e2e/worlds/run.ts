/** `npm start`: a world with the gateway in it, for a person to use, until Ctrl-C. */
import { dirname } from 'node:path';

import { type KubeWorld, startKubeWorld, whyNot } from './kube.ts';
import { registerCluster } from './register.ts';

const problem = await whyNot({ node: false });
if (problem !== undefined) {
  process.stderr.write(`cannot start a world here: ${problem}\n`);
  process.exit(1);
}
const noNode = await whyNot({ node: true });
if (noNode !== undefined) process.stderr.write(`cluster a gets no node: ${noNode}\n`);

const begun = performance.now();
const world = await startKubeWorld({ node: noNode === undefined });
const end = (): void => void finish(world);
process.once('SIGINT', end).once('SIGTERM', end).once('SIGHUP', end);
try {
  const started = performance.now();
  const gateway = await world.startGateway();
  await registerCluster(world, 'a', { cluster: world.a, credential: 'X509Certificate' });
  await registerCluster(world, 'b', { cluster: world.b, credential: 'ServiceAccountToken' });
  for (const { name, ms } of world.stages) report(name, ms);
  report('gateway, clusters a and b registered', performance.now() - started);
  report('all', performance.now() - begun);
  process.stdout.write(instructions(world, gateway.log));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  await world.stop();
  process.exit(1);
}

function report(name: string, ms: number): void {
  process.stdout.write(`${(ms / 1000).toFixed(1).padStart(6)} s  ${name}\n`);
}

/** KUBECONFIG is the hub's administrator; the clusters are reached through the gateway by another server address. */
function instructions({ hub, a, binaries, directory, node }: KubeWorld, log: string): string {
  const clusters = `${hub.url}/apis/cluster.core.oam.dev/v1alpha1/clustergateways`;
  const pods = node === undefined ? [] : ['ka exec -it box -- sh', 'ka logs -f box'];
  return `
The world is running; Ctrl-C ends it. Paste this into another shell:

  export KUBECONFIG=${hub.kubeconfig}
  export PATH=${dirname(binaries.kubectl)}:$PATH
  alias ka='kubectl --server ${clusters}/a/proxy'
  alias kb='kubectl --server ${clusters}/b/proxy'

and try:

  kubectl get clustergateways
  kubectl get --raw /apis/cluster.core.oam.dev/v1alpha1/clustergateways/a/proxy/healthz
  ka get pods --all-namespaces
  kb get namespaces
${pods.map((line) => `  ${line}\n`).join('')}
cluster a directly: kubectl --kubeconfig ${a.kubeconfig}
the gateway's log:  ${log}
all files:          ${directory}
`;
}

async function finish(running: KubeWorld): Promise<void> {
  const started = performance.now();
  await running.stop();
  process.stdout.write(`\nended in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  process.exit(0);
}
