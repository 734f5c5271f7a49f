import { describe, expect, test } from 'vitest';
import type { UserInfo } from '../kube/user-info.ts';
import { createImpersonation } from './impersonation-lines.ts';
import type { ImpersonationLimits } from './impersonation-lines.ts';

const limits: ImpersonationLimits = {
  deniedUsers: ['system:admin', 'system:node:*'],
  droppedGroups: ['system:*', 'admins'],
  droppedExtras: ['authentication.kubernetes.io/*', 'secret'],
  sendUid: true,
};

function linesOf(user: Partial<UserInfo>, changed: Partial<ImpersonationLimits> = {}) {
  const made = createImpersonation({ ...limits, ...changed })({ name: 'jane', groups: [], ...user });
  return made.type === 'lines' ? made.lines : made.reason;
}
const ofJane = (...more: string[]) => ['impersonate-user', 'jane', ...more];
const utf8 = (text: string) => Buffer.from(text).toString('latin1');

test('user, groups, UID and extras, in client-go’s form', () => {
  const extra = { scopes: ['a', 'b', ''], 'example.org/Über%': ['x'] };
  expect(linesOf({ uid: 'u-1', groups: ['dev', 'a, b', ''], extra })).toEqual(
    ofJane(
      ...['impersonate-group', 'dev', 'impersonate-group', 'a, b', 'impersonate-uid', 'u-1'],
      ...['impersonate-extra-scopes', 'a', 'impersonate-extra-scopes', 'b', 'impersonate-extra-scopes', ''],
      ...['impersonate-extra-example.org%2f%c3%bcber%25', 'x'],
    ),
  );
});

test('any letters, as UTF-8 bytes', () => {
  const [, name] = linesOf({ name: 'jané用户' });
  expect(name).toBe(utf8('jané用户'));
  expect(linesOf({ groups: ['grüß'] })).toEqual(ofJane('impersonate-group', utf8('grüß')));
});

describe('what never travels', () => {
  test.each([
    ['dropped groups', { groups: ['system:masters', 'system:nodes', 'admins', 'system:authenticated'] }],
    ['dropped extras', { extra: { 'authentication.kubernetes.io/credential-id': ['x'], Secret: ['y'] } }],
    ['an empty UID', { uid: '' }],
  ])('%s', (_, user) => {
    expect(linesOf(user)).toEqual(ofJane());
  });

  test('names are compared as a whole, but for a * at the end', () => {
    const groups = ['admins2', 'xadmins', 'System:masters', 'mysystem:x'];
    expect(linesOf({ groups })).toEqual(ofJane(...groups.flatMap((group) => ['impersonate-group', group])));
    expect(linesOf({ name: 'system:admins' })).toEqual(['impersonate-user', 'system:admins']);
  });

  test('the UID, where it is not wanted', () => {
    expect(linesOf({ uid: 'u' }, { sendUid: false })).toEqual(ofJane());
  });

  test('groups that the target gives by itself, whatever the lists say', () => {
    const nothing = { droppedGroups: [], deniedUsers: [] };
    const groups = ['system:authenticated', 'system:masters'];
    expect(linesOf({ groups }, nothing)).toEqual(ofJane('impersonate-group', 'system:masters'));
    const anonymous = { name: 'system:anonymous', groups: ['system:unauthenticated'] };
    expect(linesOf(anonymous)).toEqual(['impersonate-user', 'system:anonymous']);
  });

  test('nobody becomes authenticated on the way', () => {
    const groups = ['system:unauthenticated'];
    expect(linesOf({ groups })).toEqual(ofJane('impersonate-group', 'system:unauthenticated'));
  });
});

describe('denied', () => {
  test.each<[string, Partial<UserInfo>]>([
    ['no name', { name: '' }],
    ['a denied user', { name: 'system:admin' }],
    ['a denied beginning', { name: 'system:node:a' }],
    // HTTP trims it: at the cluster it would be another.
    ['a space in front of a name', { name: ' system:admin' }],
    ['a space behind a name', { name: 'system:admin ' }],
    ['a space in front of a group', { groups: [' system:masters'] }],
    ['a tab behind a group', { groups: ['admins\t'] }],
    ['a line end in a group', { groups: ['a\r\nimpersonate-group: system:masters'] }],
    ['a NUL in a UID', { uid: 'a\0' }],
    ['a control character in an extra', { extra: { a: ['b\n'] } }],
    ['half a character', { name: 'a\ud800' }],
  ])('%s', (_, user) => {
    expect(linesOf(user)).toEqual(expect.any(String));
  });
});

test('the lines of one user object are made once', () => {
  const impersonate = createImpersonation(limits);
  const jane = { name: 'jane', groups: [] };
  expect(impersonate(jane)).toBe(impersonate(jane));
  expect(impersonate({ ...jane })).not.toBe(impersonate(jane));
});
