import { expect, test } from 'vitest';
import { clusterFromSecret } from './secret-cluster.ts';
import { secretFrom } from './secret.ts';

function convert(endpoint: string) {
  const data = Object.entries({ endpoint, token: 't' }).map(([key, text]) => [
    key,
    Buffer.from(text).toString('base64'),
  ]);
  const labels = { 'cluster.core.oam.dev/cluster-credential-type': 'ServiceAccountToken' };
  const secret = { metadata: { name: 'c', labels }, data: Object.fromEntries(data) as unknown };
  return clusterFromSecret(secretFrom(secret), { requireCa: false, execPluginAllowlist: [] });
}

test('several endpoints stand between commas and line ends; what is written twice counts once', () => {
  const text = 'https://a:1/x, https://b/x/\n\nhttps://a:1/x/\n https://c:3/x,\n';
  expect(convert(text)).toMatchObject({
    type: 'accepted',
    endpoint: {
      url: 'https://a:1/x,https://b/x,https://c:3/x',
      ...{ host: 'a', port: 1, authority: 'a:1', basePath: '/x' },
      others: [
        { host: 'b', port: 443, authority: 'b' },
        { host: 'c', port: 3, authority: 'c:3' },
      ],
    },
  });
});

test('one endpoint has no others', () => {
  expect(convert('https://a\n')).toMatchObject({ endpoint: { host: 'a' } });
  expect(convert('https://a\n')).not.toHaveProperty('endpoint.others');
});

test('each of them is another place to go to', () => {
  const prints = ['https://a', 'https://a,https://b', 'https://b,https://a', 'https://a,https://c'].map(
    (text) => {
      const record = convert(text);
      return record.type === 'accepted' ? record.accessFingerprint : '';
    },
  );
  expect(new Set(prints).size).toBe(4);
});

test.each([
  ['https://a/x,https://b/y', 'InvalidEndpoint', 'must have the same path'],
  ['https://a/x,https://a/y', 'InvalidEndpoint', 'must have the same path'],
  ['https://a,http://b', 'InvalidEndpoint', 'must be an https URL'],
  ['https://a,https://u:s3cret@b', 'InvalidEndpoint', 'must not have userinfo'],
  [',\n', 'MissingEndpoint', ''],
  [Array.from({ length: 17 }, (_, i) => `https://a${i}`).join(), 'InvalidEndpoint', 'no more than 16'],
])('%j is refused: %s', (text, reason, message) => {
  expect(convert(text)).toMatchObject({
    ...{ type: 'rejected', reason },
    message: expect.stringContaining(message) as string,
  });
  expect(JSON.stringify(convert(text))).not.toContain('s3cret');
});

test('sixteen are taken', () => {
  expect(convert(Array.from({ length: 16 }, (_, i) => `https://a${i}`).join()).type).toBe('accepted');
});
