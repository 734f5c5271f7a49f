/** One aspect of a cluster's state. */
export interface ClusterGatewayCondition {
  readonly type: 'Accepted' | 'ServerVerified' | 'CredentialValid' | 'IdentityRules';
  readonly status: 'True' | 'False';
  /** CamelCase. */
  readonly reason: string;
  /** For people; never a secret value. */
  readonly message: string;
}
