import { describe, expect, test } from 'vitest';
import { createAuthorizer } from '../apiserver/authorizer.ts';
import type { AccessRequest } from '../kube/access.ts';
import { requestInfo } from '../kube/request-info.ts';
import { StatusError } from '../kube/status.ts';
import { createInnerAuthorization } from './inner-authorization.ts';
import { parseProxyTarget } from './target.ts';

const prefix = '/apis/cluster.core.oam.dev/v1alpha1/clustergateways';
const resource = { group: 'cluster.core.oam.dev', resource: 'clustergateways' };

interface Setup {
  readonly subpath?: boolean;
  readonly create?: boolean;
  /** `verb resource/subresource` or `verb path` that the hub allows; default all. */
  readonly allowed?: readonly string[];
  readonly reason?: string;
  readonly broken?: boolean;
}

function setup({ subpath = false, create = false, allowed, reason = '', broken = false }: Setup) {
  const asked: AccessRequest[] = [];
  const authorizer = createAuthorizer({
    alwaysAllowPaths: ['/healthz', '/version', '/api*'],
    reviewer: {
      counts: { hits: 0, misses: 0, errors: 0 },
      review(request) {
        asked.push(request);
        if (broken) return Promise.reject(new Error('secret address'));
        return Promise.resolve({ allowed: allowed?.includes(wordsOf(request)) ?? true, reason });
      },
    },
  });
  const authorize = createInnerAuthorization({
    ...{ authorizer, resource, authorizeSubpath: subpath, requireCreateForUpgrade: create },
  });
  const ask = async (method: string, path: string, more: { groups?: string[]; isUpgrade?: boolean } = {}) => {
    const info = requestInfo(method, `${prefix}/foo/proxy${path}`);
    const target = parseProxyTarget(`${prefix}/foo/proxy${path}`, prefix, info);
    const user = { name: 'jane', groups: more.groups ?? ['dev'] };
    const { signal } = new AbortController();
    try {
      await authorize?.({ user, info, method, target, isUpgrade: more.isUpgrade ?? false, signal });
      return undefined;
    } catch (error) {
      if (error instanceof StatusError) return error.status;
      throw error;
    }
  };
  return { ask, asked: () => asked.map(wordsOf), requests: asked, authorize };
}

function wordsOf({ attributes }: AccessRequest): string {
  if (attributes.type === 'non-resource')
    return `${attributes.nonResource.verb} ${attributes.nonResource.path}`;
  const { verb, resource: name, subresource } = attributes.resource;
  return `${verb} ${subresource ? `${name}/${subresource}` : name}`;
}

const exec = '/api/v1/namespaces/n/pods/p/exec?command=sh';
const upgrade = { isUpgrade: true };

test('without the flags nothing is checked', () => {
  expect(setup({}).authorize).toBeUndefined();
});

describe('the path inside', () => {
  test('is asked about once, for the same user', async () => {
    const { ask, requests } = setup({ subpath: true });
    expect(await ask('GET', '/api/v1/namespaces/n/pods?watch=1')).toBeUndefined();
    expect(requests).toEqual([
      {
        user: { name: 'jane', groups: ['dev'] },
        attributes: {
          type: 'resource',
          resource: { verb: 'watch', group: '', version: 'v1', resource: 'pods', namespace: 'n' },
        },
      },
    ]);
  });

  test('is denied in the words of kube-apiserver, and for which cluster', async () => {
    const { ask } = setup({ subpath: true, allowed: [], reason: 'because' });
    expect(await ask('GET', '/api/v1/namespaces/n/secrets/s')).toMatchObject({
      code: 403,
      reason: 'Forbidden',
      message:
        'secrets "s" is forbidden: User "jane" cannot get resource "secrets" in API group "" in the namespace "n" of cluster "foo": because',
      details: { name: 'foo', group: 'cluster.core.oam.dev', kind: 'clustergateways' },
    });
    expect(await ask('GET', '/metrics')).toMatchObject({
      code: 403,
      message: 'forbidden: User "jane" cannot get path "/metrics" of cluster "foo": because',
    });
  });

  test.each(['/healthz', '/version', '/api', '/apis'])('%s is asked about: it is not ours', async (path) => {
    const { ask, asked } = setup({ subpath: true, allowed: [] });
    expect(await ask('GET', path)).toMatchObject({ code: 403 });
    expect(asked()).toEqual([`get ${path}`]);
  });

  test('is not asked about for system:masters', async () => {
    const { ask, asked } = setup({ subpath: true, create: true, allowed: [] });
    expect(await ask('GET', exec, { groups: ['system:masters'], ...upgrade })).toBeUndefined();
    expect(asked()).toEqual([]);
  });

  test('that can be read in two ways is refused, also for system:masters', async () => {
    const { ask, asked } = setup({ subpath: true });
    expect(await ask('GET', '/api/v1/pods?a=1;b=2', { groups: ['system:masters'] })).toMatchObject({
      code: 400,
    });
    expect(asked()).toEqual([]);
  });

  test('is refused when the hub cannot be asked', async () => {
    const { ask } = setup({ subpath: true, broken: true });
    expect(await ask('GET', '/api/v1/pods')).toMatchObject({ code: 500, message: 'Internal Server Error' });
  });

  test.each(['exec', 'attach', 'portforward'])('pods/%s needs create, too', async (subresource) => {
    const path = `/api/v1/namespaces/n/pods/p/${subresource}`;
    const { ask, asked } = setup({ subpath: true, allowed: [`get pods/${subresource}`] });
    expect(await ask('GET', path, upgrade)).toMatchObject({
      code: 403,
      message: `pods "p" is forbidden: User "jane" cannot create resource "pods/${subresource}" in API group "" in the namespace "n" of cluster "foo"`,
    });
    expect(asked()).toEqual([`get pods/${subresource}`, `create pods/${subresource}`]);
    expect(await ask('POST', path, upgrade)).toMatchObject({ code: 403 });
    const both = setup({ subpath: true, allowed: [`get pods/${subresource}`, `create pods/${subresource}`] });
    expect(await both.ask('GET', path, upgrade)).toBeUndefined();
    expect(await both.ask('POST', path, upgrade)).toBeUndefined();
    expect(both.asked().slice(2)).toEqual([`create pods/${subresource}`]);
  });

  test('a resource of another group that is named pods is no pod', async () => {
    const { ask, asked } = setup({ subpath: true });
    await ask('GET', '/apis/g/v1/namespaces/n/pods/p/exec');
    expect(asked()).toEqual(['get pods/exec']);
  });
});

describe('an upgrade that needs create', () => {
  test.each(['GET', 'PUT', 'OPTIONS'])('%s: is asked about with the name of the cluster', async (method) => {
    const { ask, requests } = setup({ create: true, allowed: ['get clustergateways/proxy'] });
    expect(await ask(method, exec, upgrade)).toMatchObject({
      code: 403,
      message:
        'clustergateways.cluster.core.oam.dev "foo" is forbidden: User "jane" cannot create resource "clustergateways/proxy" in API group "cluster.core.oam.dev" at the cluster scope',
    });
    expect(requests.map(({ attributes }) => attributes)).toMatchObject([
      { resource: { verb: 'create', name: 'foo', subresource: 'proxy' } },
    ]);
  });

  test('passes with it; POST had it already, and what is no upgrade needs none', async () => {
    const { ask, asked } = setup({ create: true, allowed: ['create clustergateways/proxy'] });
    expect(await ask('GET', exec, upgrade)).toBeUndefined();
    expect(await ask('POST', exec, upgrade)).toBeUndefined();
    expect(await ask('GET', exec)).toBeUndefined();
    expect(asked()).toEqual(['create clustergateways/proxy']);
  });

  test('with both flags, any upgrade needs create inside, too', async () => {
    const { ask, asked } = setup({ create: true, subpath: true });
    expect(await ask('GET', '/api/v1/nodes/x/proxy/y', upgrade)).toBeUndefined();
    expect(asked()).toEqual(['create clustergateways/proxy', 'get nodes/proxy', 'create nodes/proxy']);
  });
});
