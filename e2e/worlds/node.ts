import type { Binaries } from '../kube/binaries.ts';
import type { OwnedCluster } from './control-plane.ts';
import type { ProcessGroup } from './process.ts';
import type { WorldRecord } from './record.ts';
export const nodeName = 'node-a';
export const box = 1;
export const boxPod = 1;
export interface KubeNode {
  readonly name: string;
}
export async function startNode(_o: {
  record: WorldRecord;
  binaries: Binaries<'node'>;
  cluster: OwnedCluster;
  port: number;
  processes: ProcessGroup;
}): Promise<KubeNode> {
  throw new Error('later');
}
