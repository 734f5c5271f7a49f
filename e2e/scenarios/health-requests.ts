import { resolve } from 'node:path';
import { expect } from 'vitest';

import type { KubeCluster, KubeWorld } from '../worlds/kube.ts';
import { until } from '../worlds/wait.ts';
import type { Answer, Client } from './registration-client.ts';

const group = 'cluster.core.oam.dev';
const rbac = '/apis/rbac.authorization.k8s.io/v1';

/** Where clusters are read. */
export const clustersPath = `/apis/${group}/v1alpha1/clustergateways`;
export const secretPath = '/api/v1/namespaces/vela-system/secrets/alpha';
export const healthyKey = `status.${group}/healthy`;
export const reasonKey = `status.${group}/healthy-reason`;
export const mergePatch = 'application/merge-patch+json';
export const jsonPatch = 'application/json-patch+json';

/** Path of the health of a cluster. */
export const healthPath = (name = 'alpha', query = ''): string => `${clustersPath}/${name}/health${query}`;

/** A ClusterGateway as far as these tests read it. */
export interface Gateway {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
  readonly spec: unknown;
  readonly status: { readonly healthy: boolean; readonly healthyReason?: string };
}

/** A Secret of the hub. */
export interface HubSecret {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly data: Readonly<Record<string, string>>;
}

/** What somebody sends who has checked a cluster. */
export function found(status: object, metadata: object = {}, name = 'alpha'): object {
  return {
    apiVersion: `${group}/v1alpha1`,
    kind: 'ClusterGateway',
    metadata: { name, ...metadata },
    status,
  };
}

/** Lets a user of the hub note the health of clusters, and reach them. */
export async function allowChecker(hub: KubeCluster, user: string): Promise<void> {
  const name = 'health-checker';
  await hub.api.expect(`${rbac}/clusterroles`, {
    method: 'POST',
    body: {
      metadata: { name },
      rules: [
        { apiGroups: [group], resources: ['clustergateways/health'], verbs: ['get', 'update', 'patch'] },
        { apiGroups: [group], resources: ['clustergateways/proxy'], verbs: ['get'] },
      ],
    },
  });
  await hub.api.expect(`${rbac}/clusterrolebindings`, {
    method: 'POST',
    body: {
      metadata: { name },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
    },
  });
}

/** Lets the gateway patch Secrets, as whoever switches the gate on does, and waits until `dryRun` shows it. */
export async function allowGateway(
  { kubectl, hub }: KubeWorld,
  dryRun: () => Promise<{ readonly status: number }>,
): Promise<void> {
  const manifests = resolve(import.meta.dirname, '../../apiservice/healthiness-check');
  const { code, stderr } = await kubectl(['apply', '-k', manifests], { kubeconfig: hub.kubeconfig });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const allowed = async () => (await dryRun()).status === 200 || undefined;
  await until('the gateway to be allowed', allowed, { timeoutMs: 10_000 });
}

export interface HealthCall {
  readonly method: string;
  /** Text goes as it is, everything else as JSON. */
  readonly body?: unknown;
  /** Content type; JSON unless said. */
  readonly type?: string;
}

/** Requests whose answers are kept. */
export interface Talk {
  /** Everything that was answered so far. */
  readonly said: string[];
  readonly send: (client: Client, path: string, call: HealthCall) => Promise<Answer>;
  readonly put: (client: Client, body: unknown, path?: string) => Promise<Answer>;
  readonly patch: (
    client: Client,
    body: unknown,
    more?: { type?: string; query?: string },
  ) => Promise<Answer>;
  /** What stands there now; it must be 200. */
  readonly read: (client: Client, path?: string) => Promise<Gateway>;
}

export function createTalk(): Talk {
  const said: string[] = [];
  const send: Talk['send'] = async (client, path, { method, body, type = 'application/json' }) => {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const answer = await client.call(path, {
      method,
      headers: ['Content-Type', type],
      ...(body === undefined ? {} : { body: text }),
    });
    said.push(answer.text);
    return answer;
  };
  return {
    said,
    send,
    put: (client, body, path = healthPath()) => send(client, path, { method: 'PUT', body }),
    patch: (client, body, { type = mergePatch, query = '' } = {}) =>
      send(client, healthPath('alpha', query), { method: 'PATCH', body, type }),
    read: async (client, path = healthPath()) => {
      const answer = await send(client, path, { method: 'GET' });
      expect(answer.status).toBe(200);
      return JSON.parse(answer.text) as Gateway;
    },
  };
}
