import { describe, expect, test } from 'vitest';
import type { AccessAttributes } from '../kube/access.ts';
import { StatusError } from '../kube/status.ts';
import { asksForImpersonation, impersonatedUser } from './impersonation.ts';

const admin = { name: 'admin', groups: ['ops'] };

async function impersonate(headers: readonly string[], allow: (name: string) => boolean = () => true) {
  const asked: string[] = [];
  let open = 0;
  let most = 0;
  const user = await impersonatedUser(
    { headers, user: admin, signal: new AbortController().signal },
    {
      check: async (caller, attributes) => {
        expect(caller).toBe(admin);
        asked.push(textOf(attributes));
        most = Math.max(most, (open += 1));
        await Promise.resolve();
        open -= 1;
        const name = attributes.type === 'resource' ? (attributes.resource.name ?? '') : '';
        if (!allow(name)) throw new StatusError('Forbidden', `not ${name}`);
      },
    },
  ).catch((error: unknown) => error);
  return { user, asked, most };
}

function textOf(attributes: AccessAttributes): string {
  if (attributes.type !== 'resource') throw new Error('a path cannot be impersonated');
  const { verb, group, version, resource, subresource = '', namespace = '', name } = attributes.resource;
  return [verb, group, version, resource, subresource, namespace, name].join('|');
}

describe('who the request is answered as, and what the hub is asked', () => {
  test.each<[string, string[], string[], object]>([
    [
      'a user',
      ['Impersonate-User', 'jane'],
      ['impersonate|||users|||jane'],
      { name: 'jane', groups: ['system:authenticated'] },
    ],
    [
      'groups, in any case of letters',
      ['IMPERSONATE-USER', 'jane', 'impersonate-group', 'a', 'Impersonate-Group', 'b, c'],
      ['impersonate|||users|||jane', 'impersonate|||groups|||a', 'impersonate|||groups|||b, c'],
      { name: 'jane', groups: ['a', 'b, c', 'system:authenticated'] },
    ],
    [
      'a service account, whose groups follow from its name',
      ['Impersonate-User', 'system:serviceaccount:ns:sa'],
      ['impersonate|||serviceaccounts||ns|sa'],
      {
        name: 'system:serviceaccount:ns:sa',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:ns', 'system:authenticated'],
      },
    ],
    [
      'a service account with groups of its own',
      ['Impersonate-User', 'system:serviceaccount:ns:sa', 'Impersonate-Group', 'dev'],
      ['impersonate|||serviceaccounts||ns|sa', 'impersonate|||groups|||dev'],
      { name: 'system:serviceaccount:ns:sa', groups: ['dev', 'system:authenticated'] },
    ],
    [
      'what only looks like a service account',
      ['Impersonate-User', 'system:serviceaccount:Ns:sa'],
      ['impersonate|||users|||system:serviceaccount:Ns:sa'],
      { name: 'system:serviceaccount:Ns:sa', groups: ['system:authenticated'] },
    ],
    [
      'somebody anonymous',
      ['Impersonate-User', 'system:anonymous'],
      ['impersonate|||users|||system:anonymous'],
      { name: 'system:anonymous', groups: ['system:unauthenticated'] },
    ],
    [
      'somebody who says that he is not authenticated',
      ['Impersonate-User', 'jane', 'Impersonate-Group', 'system:unauthenticated'],
      ['impersonate|||users|||jane', 'impersonate|||groups|||system:unauthenticated'],
      { name: 'jane', groups: ['system:unauthenticated'] },
    ],
    [
      'UID and extra values',
      [
        ...['Impersonate-User', 'jane', 'Impersonate-Uid', 'u-1', 'Impersonate-Extra-Scopes', 'x'],
        ...['impersonate-extra-SCOPES', 'y', 'Impersonate-Extra-Acme.com%2fProject', 'p'],
      ],
      [
        'impersonate|||users|||jane',
        'impersonate|authentication.k8s.io|v1|userextras|scopes||x',
        'impersonate|authentication.k8s.io|v1|userextras|scopes||y',
        'impersonate|authentication.k8s.io|v1|userextras|acme.com/project||p',
        'impersonate|authentication.k8s.io|v1|uids|||u-1',
      ],
      {
        name: 'jane',
        groups: ['system:authenticated'],
        uid: 'u-1',
        extra: { scopes: ['x', 'y'], 'acme.com/project': ['p'] },
      },
    ],
    [
      'names beyond ASCII, which come as latin1 characters',
      ['Impersonate-User', Buffer.from('jané').toString('latin1')],
      ['impersonate|||users|||jané'],
      { name: 'jané', groups: ['system:authenticated'] },
    ],
  ])('%s', async (_, headers, asked, user) => {
    expect(await impersonate(headers)).toMatchObject({ asked, user });
    expect(asksForImpersonation(headers)).toBe(true);
  });

  test('nobody, where no header says so', async () => {
    const headers = ['Host', 'x', 'Impersonation', 'jane', 'X-Impersonate-User', 'jane', 'If-Match', '*'];
    expect(asksForImpersonation(headers)).toBe(false);
    expect(await impersonate(headers)).toEqual({ user: undefined, asked: [], most: 0 });
  });
});

describe('what is refused', () => {
  test.each([
    ['groups alone', ['Impersonate-Group', 'system:masters']],
    ['a UID alone', ['Impersonate-Uid', 'x']],
    ['an extra value alone', ['Impersonate-Extra-A', 'x']],
    ['an empty user', ['Impersonate-User', '']],
    ['an empty user with groups', ['Impersonate-User', '', 'Impersonate-Group', 'a']],
    ['two users', ['Impersonate-User', 'jane', 'Impersonate-User', 'bob']],
    ['two UIDs', ['Impersonate-User', 'jane', 'Impersonate-Uid', 'a', 'Impersonate-Uid', 'b']],
    ['an empty group', ['Impersonate-User', 'jane', 'Impersonate-Group', '']],
    ['an empty extra key', ['Impersonate-User', 'jane', 'Impersonate-Extra-', 'x']],
    ['a header of the future', ['Impersonate-User', 'jane', 'Impersonate-Scope', 'x']],
    [
      'more values than anybody has groups',
      [
        'Impersonate-User',
        'jane',
        ...Array.from({ length: 1001 }, (_, i) => ['Impersonate-Group', `g${i}`]).flat(),
      ],
    ],
  ])('%s: 400, and the hub is not asked', async (_, headers) => {
    const { user, asked } = await impersonate(headers);
    expect(user).toMatchObject({ status: { code: 400 } });
    expect(asked).toEqual([]);
  });

  test('who may not impersonate the user costs one review', async () => {
    const headers = ['Impersonate-User', 'jane', 'Impersonate-Group', 'a', 'Impersonate-Group', 'b'];
    const { user, asked } = await impersonate(headers, (name) => name !== 'jane');
    expect(user).toMatchObject({ status: { code: 403 } });
    expect(asked).toHaveLength(1);
  });

  test.each(['a', 'u', 'v'])('%s alone denied denies all', async (denied) => {
    const headers = [
      ...['Impersonate-User', 'jane', 'Impersonate-Group', 'a', 'Impersonate-Uid', 'u'],
      ...['Impersonate-Extra-K', 'v'],
    ];
    const { user } = await impersonate(headers, (name) => name !== denied);
    expect(user).toMatchObject({ status: { code: 403, message: `not ${denied}` } });
  });

  test('many groups are asked for a few at a time', async () => {
    const groups = Array.from({ length: 1000 }, (_, i) => ['Impersonate-Group', `g${i}`]).flat();
    const { user, asked, most } = await impersonate(['Impersonate-User', 'jane', ...groups]);
    expect(user).toMatchObject({ name: 'jane' });
    expect(asked).toHaveLength(1001);
    expect(most).toBe(16);
  });
});
