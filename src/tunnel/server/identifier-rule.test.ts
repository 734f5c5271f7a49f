import { X509Certificate } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { issueCertificate } from '../../pki/issue.ts';
import { parseIdentifiers } from '../agent-identifiers.ts';
import { identifierProblem } from './identifier-rule.ts';

const certificateOf = async () => {
  const { certificatePem } = await issueCertificate({
    ...{ commonName: 'cluster0', usages: ['clientAuth'], ca: false },
    ...{
      dnsNames: ['cluster1', 'cluster1.agents', '*.cluster1.example'],
      ipAddresses: ['10.0.0.1', 'fd00::1'],
    },
  });
  return new X509Certificate(certificatePem);
};

describe('the rule for identifiers', () => {
  test.each([
    ['host=cluster1&host=cluster1.agents&ipv4=10.0.0.1&ipv6=fd00::1', undefined],
    ['host=cluster0', undefined],
    ['host=x.cluster1.example', undefined],
    ['', undefined],
    ['host=cluster2', /"cluster2"/],
    ['host=cluster1&host=cluster2', /"cluster2"/],
    ['ipv4=10.0.0.2', /"10.0.0.2"/],
    ['host=*', /"\*"/],
    ['default-route=true', /default-route/],
  ])('certificate: %s', async (identifiers, problem) => {
    const found = identifierProblem('certificate', parseIdentifiers(identifiers), await certificateOf());
    if (problem) expect(found).toMatch(problem);
    else expect(found).toBeUndefined();
  });

  test('certificate: without one nobody is anybody', () => {
    expect(identifierProblem('certificate', parseIdentifiers(''), undefined)).toMatch(
      /need a client certificate/,
    );
  });

  test('any: as the Go server', () => {
    expect(
      identifierProblem('any', parseIdentifiers('host=x&default-route=true'), undefined),
    ).toBeUndefined();
  });
});
