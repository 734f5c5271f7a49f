import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { silentLog } from '../base/log.ts';
import { requestInfo } from '../kube/request-info.ts';
import { createGatewayAudit } from './gateway-audit.ts';
import { parseGatewayFlags } from './gateway-flags.ts';

const fault = (...argv: readonly string[]) => {
  try {
    parseGatewayFlags(argv);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : error;
  }
};

describe('audit flags', () => {
  test('have the defaults of kube-apiserver', () => {
    expect(parseGatewayFlags([]).audit).toEqual({
      policyFile: undefined,
      logPath: undefined,
      maxAgeDays: 366,
      maxBackups: 100,
      maxBytes: 100 * 1024 * 1024,
      compress: false,
    });
  });

  test.each([
    ['--audit-log-format=legacy', /--audit-log-format: "legacy" is not implemented, only json/],
    [
      '--audit-log-mode=blocking',
      /--audit-log-mode: "blocking" is not implemented, only batch: no request waits/,
    ],
    ['--audit-log-mode=blocking-strict', /only batch/],
    ['--audit-log-version=audit.k8s.io/v1beta1', /only audit\.k8s\.io\/v1/],
    ['--audit-log-maxage=-1', /--audit-log-maxage/],
    ['--audit-log-maxsize=1G', /--audit-log-maxsize/],
    ['--audit-webhook-config-file=x', /--audit-webhook-config-file is not implemented/],
  ])('%s is refused', (flag, message) => {
    expect(fault(flag)).toMatch(message);
  });
});

describe('the audit of the gateway', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'audit-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const create = (...argv: readonly string[]) => createGatewayAudit(parseGatewayFlags(argv), silentLog);

  test('is none without a path, also where manifests write an empty one', async () => {
    expect(await create()).toBeUndefined();
    expect(await create('--audit-log-path=')).toBeUndefined();
  });

  test('follows the policy file', async () => {
    const policy = join(folder, 'policy.yaml');
    await writeFile(
      policy,
      'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: None, verbs: [get]}, {level: Request}]',
    );
    const audit = await create(`--audit-log-path=${join(folder, 'log')}`, `--audit-policy-file=${policy}`);
    expect(audit?.policy.decide(undefined, requestInfo('GET', '/x')).level).toBe('None');
    expect(audit?.policy.decide(undefined, requestInfo('POST', '/x')).level).toBe('Request');
    await audit?.log.close();
    expect(await readFile(join(folder, 'log'), 'utf8')).toBe('');
  });

  test('without one, probes are left out', async () => {
    const audit = await create(`--audit-log-path=${join(folder, 'log')}`);
    expect(audit?.policy.decide(undefined, requestInfo('GET', '/livez')).level).toBe('None');
    expect(audit?.policy.decide(undefined, requestInfo('GET', '/x')).level).toBe('Metadata');
    await audit?.log.close();
  });

  test('a policy that cannot be read ends the start, with or without a log', async () => {
    const policy = join(folder, 'policy.yaml');
    await expect(create(`--audit-policy-file=${policy}`)).rejects.toThrow(/--audit-policy-file .*ENOENT/);
    await writeFile(policy, 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []\n');
    await expect(create(`--audit-policy-file=${policy}`)).rejects.toThrow(
      /rules: a policy needs at least one rule/,
    );
  });

  test('so does a log that cannot be made', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(create(`--audit-log-path=${join(folder, 'file', 'log')}`)).rejects.toThrow(
      /--audit-log-path /,
    );
  });
});
