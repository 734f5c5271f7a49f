import { setTimeout as sleep } from 'node:timers/promises';

import type { KubeCluster, Kubectl } from '../worlds/kube.ts';
import { type AuditEvent, auditEnd, auditSince } from './audit-log.ts';
import {
  isRevalidation,
  normalise,
  normaliseCode,
  normaliseUri,
  type SideFacts,
} from './differential-normalise.ts';
import { splitCommand, type Step } from './differential-step.ts';

/** The cluster that both sides lead to. */
export type ComparedCluster = Pick<KubeCluster, 'url' | 'caPem' | 'kubeconfig' | 'auditLog' | 'api'>;

/** One of the two ways to run a command: directly at the cluster, or through the gateway. */
export interface Side {
  readonly cluster: ComparedCluster;
  /** Runs kubectl where this way begins. */
  readonly kubectl: Kubectl['run'];
  readonly namespace: string;
  readonly admin: Access;
  readonly limited: Access;
}

/** Who runs a command, and where it goes. */
export interface Access {
  readonly kubeconfig: string;
  readonly server: string;
  /** Folder of kubectl's caches: each access fills its own, so that all make the same discovery requests. */
  readonly cache: string;
}

/** What a step did. */
export interface StepResult {
  readonly command: string;
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The requests that the cluster saw, sorted: kubectl makes some of them side by side. */
  readonly requests: readonly string[];
}

/** Runs one step and gives its normalised result. `users` are the names that the cluster knows the credentials by. */
export async function runStep(side: Side, step: Step, users: readonly string[]): Promise<StepResult> {
  const { cluster } = side;
  const access = step.limited === true ? side.limited : side.admin;
  const facts = { server: access.server, clusterUrl: cluster.url, namespace: side.namespace };
  const fill = (text: string): string => text.replaceAll('{ns}', side.namespace);
  const since = await auditEnd(cluster.auditLog);
  const run = () =>
    side.kubectl(['--namespace', side.namespace, ...splitCommand(fill(step.command))], {
      kubeconfig: access.kubeconfig,
      server: access.server,
      env: { KUBECACHEDIR: access.cache, ...step.env },
      ...(step.stdin === undefined ? {} : { stdin: fill(step.stdin) }),
      ...(step.killAfterMs === undefined ? {} : { timeoutMs: step.killAfterMs }),
    });
  let result = await run();
  for (let tries = 0; step.untilItSucceeds === true && result.code !== 0 && tries < 40; tries += 1) {
    await sleep(250);
    result = await run();
  }
  const events = await auditOf(cluster, since, users);
  if (step.untilItSucceeds === true) {
    return { command: step.command, code: result.code, stdout: '', stderr: '', requests: ['not compared'] };
  }
  return {
    command: step.command,
    code: result.code,
    stdout: normalise(result.stdout, facts),
    stderr: normalise(result.stderr, facts),
    requests: requestsOf(events, step, facts),
  };
}

function requestsOf(events: readonly AuditEvent[], step: Step, facts: SideFacts): string[] {
  const requests = events
    .filter(({ requestURI, responseStatus }) => !isRevalidation(requestURI, responseStatus?.code))
    .map((event) => describeEvent(event, facts))
    .toSorted();
  return step.polls === true ? [...new Set(requests)] : requests;
}

let markers = 0;

/** What the users did since a place in the log, once all of it has ended. */
async function auditOf(
  { api, auditLog }: ComparedCluster,
  since: number,
  users: readonly string[],
): Promise<AuditEvent[]> {
  markers += 1;
  const marker = `/version?marker=${markers}`;
  await api.expect(marker);
  const deadline = Date.now() + 3000;
  for (;;) {
    const events = await auditSince(auditLog, since);
    const ended = new Set(
      events.filter(({ stage }) => stage !== 'ResponseStarted').map(({ auditID }) => auditID),
    );
    const theirs = events.filter(({ user }) => users.includes(user.username));
    const all = theirs.every(({ auditID }) => ended.has(auditID));
    if (all && events.some(({ requestURI }) => requestURI === marker)) {
      return theirs.filter(({ stage }) => stage !== 'ResponseStarted');
    }
    if (Date.now() > deadline) throw new Error(`these requests did not end: ${JSON.stringify(theirs)}`);
    await sleep(10);
  }
}

function describeEvent(event: AuditEvent, facts: SideFacts): string {
  const { verb, requestURI, user, objectRef, responseStatus, userAgent, stage } = event;
  const { resource, subresource, namespace, name, apiGroup, apiVersion } = objectRef ?? {};
  const object = [apiGroup, apiVersion, resource, subresource, namespace, name]
    .map((part) => part ?? '-')
    .join(' ');
  const groups = (user.groups ?? []).join(',');
  return [
    `${verb} ${normaliseUri(requestURI, facts)}`,
    normalise(object, facts),
    `${user.username} (${groups}) by ${userAgent ?? '?'}`,
    `${stage} ${normaliseCode(requestURI, responseStatus?.code)}`,
  ].join(' | ');
}
