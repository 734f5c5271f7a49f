import type { Cluster, ClusterRecord } from '../clusters/cluster.ts';
import { validityAt } from '../clusters/validity.ts';
import type { Validity } from '../clusters/validity.ts';
import type { ClusterGatewayCondition } from './cluster-gateway-condition.ts';

const timeOf = ({ until }: Validity) => `${new Date(until).toISOString().slice(0, 19)}Z`;

/** CredentialValid; undefined where nobody knows when the credential ends. Pure. */
export function credentialConditionOf(cluster: Cluster, now: number): ClusterGatewayCondition | undefined {
  const validity = credentialValidityOf(cluster);
  if (!validity) return undefined;
  const what = cluster.credential.type === 'X509Certificate' ? 'the client certificate' : 'the token';
  const ends = `${what} of the Secret ends at ${timeOf(validity)}`;
  switch (validityAt(validity, now)) {
    case 'valid':
      return { type: 'CredentialValid', status: 'True', reason: 'Valid', message: ends };
    case 'expires-soon':
      return { type: 'CredentialValid', status: 'True', reason: 'ExpiresSoon', message: ends };
    case 'expired': {
      const message = `${what} of the Secret ended at ${timeOf(validity)}`;
      return { type: 'CredentialValid', status: 'False', reason: 'Expired', message };
    }
  }
}

/** ServerVerified: whether the cluster's certificate is verified, and can be. Pure. */
export function serverConditionOf({ endpoint }: Cluster, now: number): ClusterGatewayCondition {
  const type = 'ServerVerified';
  switch (endpoint.trust.type) {
    case 'ca':
      return ownCaCondition(endpoint.trust.validity, now);
    case 'system':
      return { type, status: 'True', reason: 'SystemCAs', message: '' };
    case 'none':
      return {
        type,
        status: 'False',
        reason: 'NoCA',
        message: "the Secret has no CA (data key ca.crt): the cluster's certificate is not verified",
      };
  }
}

function ownCaCondition(validity: Validity | undefined, now: number): ClusterGatewayCondition {
  const type = 'ServerVerified';
  const good = { type, status: 'True', reason: 'OwnCA', message: '' } as const;
  if (!validity) return good;
  switch (validityAt(validity, now)) {
    case 'valid':
      return good;
    case 'expires-soon': {
      const message = `the last CA of the Secret (data key ca.crt) ends at ${timeOf(validity)}`;
      return { type, status: 'True', reason: 'CAExpiresSoon', message };
    }
    case 'expired': {
      const message = `the last CA of the Secret (data key ca.crt) ended at ${timeOf(validity)}: no certificate can be verified`;
      return { type, status: 'False', reason: 'CAExpired', message };
    }
  }
}

/** Whether a condition is another at `to` than it was at `from`. */
export function endsBetween(record: ClusterRecord, from: number, to: number): boolean {
  if (record.type === 'rejected') return false;
  const { trust } = record.endpoint;
  const validities = [credentialValidityOf(record), trust.type === 'ca' ? trust.validity : undefined];
  return validities.some((each) => each && validityAt(each, from) !== validityAt(each, to));
}

const credentialValidityOf = ({ credential }: Cluster) =>
  credential.type === 'Dynamic' ? undefined : credential.validity;
