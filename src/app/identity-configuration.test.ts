import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Scope } from '../base/scope.ts';
import type { Cluster } from '../clusters/cluster.ts';
import { createGatewayIdentity } from './identity-configuration.ts';
import { parseGatewayFlags } from './gateway-flags.ts';

let directory = '';
let scope = new Scope();
const told: string[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'identity-'));
  scope = new Scope();
  told.length = 0;
});
afterEach(async () => {
  await scope.close();
  await rm(directory, { recursive: true });
});

const note = (level: string) => (_: unknown, message?: string) => void told.push(`${level} ${message}`);
const log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') };
const metrics = new Registry();

const rules = (user: string) =>
  `spec: {clientIdentityExchanger: {rules: [{type: StaticMappingIdentityExchanger, source: {}, target: {user: ${user}}}]}}`;

const identityFrom = (path: string) =>
  createGatewayIdentity({
    options: parseGatewayFlags([
      `--cluster-gateway-proxy-config=${path}`,
      '--feature-gates=ClientIdentityPenetration=true',
    ]),
    ...{ metrics, scope, log },
  });

// Of a cluster, its rules and its name are all that counts.
const cluster = { name: 'c' } as Cluster;

test('rules are read at the start, and again when the file changes; what is wrong leaves the last good ones', async () => {
  const path = join(directory, 'config.yaml');
  await writeFile(path, rules('one'));
  const identity = await identityFrom(path);
  const who = () => identity({ user: { name: 'jane', groups: [] }, cluster, query: '' }).lines[1];
  expect(who()).toBe('one');
  await writeFile(path, rules('two'));
  await expect.poll(who).toBe('two');
  await writeFile(path, rules('three').replace('target', 'tarket'));
  await expect.poll(() => told.filter((line) => line.startsWith('error '))).toHaveLength(1);
  expect(who()).toBe('two');
  const failures = 'cluster_gateway_identity_rules_reload_failures_total';
  expect(await metrics.metrics()).toContain(`${failures} 1`);
  await writeFile(path, rules('four'));
  await expect.poll(who).toBe('four');
});

test('a file that is missing or wrong at the start is said, and ends it', async () => {
  const path = join(directory, 'other.yaml');
  metrics.clear();
  await expect(identityFrom(path)).rejects.toThrow(`--cluster-gateway-proxy-config ${path}: ENOENT`);
  metrics.clear();
  await writeFile(path, '');
  await expect(identityFrom(path)).rejects.toThrow(`--cluster-gateway-proxy-config ${path}: `);
});
