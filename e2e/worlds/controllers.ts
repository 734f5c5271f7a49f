import { join } from 'node:path';

import { ensureBinaries } from '../kube/binaries.ts';
import type { OwnedCluster } from './control-plane.ts';
import { freePorts } from './ports.ts';
import { mustRun, type ProcessGroup } from './process.ts';
import { until } from './wait.ts';

const wanted = [
  'serviceaccount-controller',
  'root-ca-certificate-publisher-controller',
  'namespace-controller',
  'garbage-collector-controller',
  'deployment-controller',
  'replicaset-controller',
  'clusterrole-aggregation-controller',
];

/**
 * Starts the controllers that tests may miss: a namespace ends, a Deployment makes pods (its template must name the node),
 * owned objects are collected, pods get tokens, and what is labelled for it becomes part of the role `view`. Worlds start without them, because most tests need none.
 */
export async function startControllers(
  { name, kubeconfig, certificates, api }: OwnedCluster,
  processes: ProcessGroup,
): Promise<void> {
  const binaries = await ensureBinaries('controllers');
  const [port = 0] = await freePorts(1);
  const folder = join(certificates.file('ca.crt'), '..');
  const controllers = await processes.start({
    name: `kube-controller-manager ${name}`,
    command: binaries['kube-controller-manager'],
    args: [
      `--kubeconfig=${kubeconfig}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${port}`,
      '--leader-elect=false',
      '--authentication-skip-lookup',
      `--service-account-private-key-file=${certificates.file('sa.key')}`,
      `--root-ca-file=${certificates.file('ca.crt')}`,
      `--controllers=${wanted.join(',')}`,
    ],
    log: join(folder, 'kube-controller-manager.log'),
    cwd: folder,
  });
  const path = '/api/v1/namespaces/default/configmaps/kube-root-ca.crt';
  const published = async (): Promise<true | undefined> =>
    (await api.call(path)).status === 200 ? true : undefined;
  const check = (): Promise<void> => mustRun(controllers);
  await until(`the controllers of ${name} to work`, published, { timeoutMs: 20_000, check });
}
