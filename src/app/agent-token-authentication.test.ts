import { describe, expect, test } from 'vitest';
import { Failure } from '../base/failure.ts';
import { startHub } from '../hub/testing/fake-hub.ts';
import type { HubCall } from '../hub/testing/fake-hub.ts';
import { createTokenReviewer } from '../hub/token-review.ts';
import { GrpcStatus } from '../tunnel/grpc-status.ts';
import { createAgentTokenAuthentication } from './agent-token-authentication.ts';

const never = new AbortController().signal;
const good = 'system:serviceaccount:ns:sa';

async function authentication(handle: (call: HubCall) => void) {
  const hub = await startHub(handle);
  const reviewer = createTokenReviewer({ client: await hub.client(), audiences: ['aud'] });
  const authenticate = createAgentTokenAuthentication({ namespace: 'ns', serviceAccount: 'sa', reviewer });
  return { hub, authenticate };
}

const says =
  (username: string, more: object = {}) =>
  (call: HubCall) =>
    call.json({ status: { authenticated: true, user: { username }, audiences: ['aud'], ...more } }, 201);

async function refusal(handle: (call: HubCall) => void, authorization: string | undefined) {
  const { authenticate } = await authentication(handle);
  const error = await authenticate(authorization, never).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof GrpcStatus)) throw new Error(`not refused: ${String(error)}`);
  expect(error.code).toBe(2);
  return error.message;
}

test('the one service account is let in, its token reviewed for the audience', async () => {
  const { hub, authenticate } = await authentication(says(good));
  await authenticate('Bearer t0ken-of-the-agent', never);
  await authenticate('bearer t0ken-of-the-agent', never);
  // The second one is remembered: thousands of agents come back at once.
  expect(hub.calls.map(({ body }) => JSON.parse(body) as unknown)).toEqual([
    {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token: 't0ken-of-the-agent', audiences: ['aud'] },
    },
  ]);
});

describe('refused', () => {
  test.each([
    ['no token', undefined, 'the agent has sent no token'],
    ['no scheme', 't0ken', 'what the agent has sent is no bearer token'],
    ['another scheme', 'Basic abc', 'what the agent has sent is no bearer token'],
    ['an empty token', 'Bearer ', 'what the agent has sent is no bearer token'],
    ['two tokens', 'Bearer a b', 'what the agent has sent is no bearer token'],
  ])('%s', async (_, authorization, message) => {
    expect(await refusal(says(good), authorization)).toBe(message);
  });

  test.each([
    ...['system:serviceaccount:ns:other', 'system:serviceaccount:other:sa', 'system:serviceaccount:ns:sa:x'],
    ...['x:system:serviceaccount:ns:sa', 'system:serviceaccount:ns', 'sa', 'System:serviceaccount:ns:sa'],
  ])('the token of %s', async (username) => {
    expect(await refusal(says(username), 'Bearer t')).toBe(
      `the token of the agent belongs to "${username}", not to ${good}`,
    );
  });

  test('a token that is not known, or for another audience', async () => {
    expect(await refusal((call) => call.json({ status: {} }, 201), 'Bearer t')).toBe(
      'the token of the agent is not accepted: the hub does not know the token',
    );
    expect(await refusal(says(good, { audiences: ['other'] }), 'Bearer t')).toBe(
      'the token of the agent is not accepted: the token is for another audience',
    );
    const expired = says(good, { authenticated: false, error: 'token s3cret-t0ken has expired' });
    expect(await refusal(expired, 'Bearer s3cret-t0ken')).toBe(
      'the token of the agent is not accepted: token [redacted] has expired',
    );
  });
});

test('an API server that cannot be asked lets nobody in, and its words are not for agents', async () => {
  const { authenticate } = await authentication((call) => call.refuse(403, 'Forbidden'));
  const error = await authenticate('Bearer t', never).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(Failure);
  expect((error as Failure).message).toBe('the token of the agent cannot be verified now');
});
