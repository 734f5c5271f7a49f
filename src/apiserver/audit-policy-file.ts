import { parseDocument } from 'yaml';
import { z } from 'zod';
import { auditLevels, auditStages } from './audit-policy.ts';
import type { AuditPolicyRules } from './audit-policy.ts';

/**
 * Reads `--audit-policy-file`: an audit.k8s.io/v1 Policy in YAML or JSON. Throws with every fault and its place.
 * Stricter than kube-apiserver in one thing: that one logs a field it does not know, and starts without it; here it is
 * an error, as a rule that lost a condition audits something else than was meant.
 */
export function readAuditPolicy(text: string): AuditPolicyRules {
  const document = parseDocument(text, { uniqueKeys: true });
  const [fault] = document.errors;
  if (fault) throw new Error(fault.message.split('\n')[0] ?? 'no YAML');
  const parsed = policySchema.safeParse(document.toJS({ maxAliasCount: 100 }));
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${placeOf(path)}${message}`);
    throw new Error(faults.slice(0, 10).join('; '));
  }
  return parsed.data;
}

/** `rules[0].level: `, as kube-apiserver names a field. */
function placeOf(path: readonly PropertyKey[]): string {
  if (path.length === 0) return '';
  const place = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return `${place.replace(/^\./, '')}: `;
}

// A key without a value is null in YAML; to Kubernetes that is the same as no key.
const optionalList = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform((list) => list ?? []);
const texts = optionalList(z.string());
const stages = optionalList(z.enum(auditStages));

const dnsSubdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

const groupResourcesSchema = z
  .strictObject({
    group: z
      .string()
      .nullish()
      .transform((group) => group ?? '')
      .refine((group) => group === '' || group === '*' || (group.length <= 253 && dnsSubdomain.test(group)), {
        error: 'it must be an API group without a version: a lower-case DNS subdomain, or *',
      }),
    resources: texts,
    resourceNames: texts,
  })
  .refine(({ resources, resourceNames }) => resourceNames.length === 0 || resources.length > 0, {
    path: ['resourceNames'],
    error: 'using resourceNames requires at least one resource',
  });

const urlSchema = z
  .string()
  .refine((url) => url === '*' || url.startsWith('/'), {
    error: "non-resource URL rules must begin with a '/' character",
  })
  .refine((url) => !url.slice(0, -1).includes('*'), {
    error: "non-resource URL wildcards '*' must be the final character of the rule",
  });

const ruleSchema = z
  .strictObject({
    level: z.enum(auditLevels),
    users: texts,
    userGroups: texts,
    verbs: texts,
    resources: optionalList(groupResourcesSchema),
    namespaces: texts,
    nonResourceURLs: optionalList(urlSchema),
    omitStages: stages,
    omitManagedFields: z
      .boolean()
      .nullish()
      .transform((value) => value ?? undefined),
  })
  .refine(
    ({ nonResourceURLs, resources, namespaces }) =>
      nonResourceURLs.length === 0 || (resources.length === 0 && namespaces.length === 0),
    {
      path: ['nonResourceURLs'],
      error: 'rules cannot apply to both regular resources and non-resource URLs',
    },
  );

const policySchema = z.strictObject({
  apiVersion: z.literal('audit.k8s.io/v1'),
  kind: z.literal('Policy'),
  metadata: z.looseObject({}).nullish(),
  rules: z.array(ruleSchema).min(1, { error: 'a policy needs at least one rule' }),
  omitStages: stages,
  omitManagedFields: z
    .boolean()
    .nullish()
    .transform((value) => value ?? false),
});
