import { z } from 'zod';
import { errorText } from '../base/failure.ts';
import { parseYamlText } from '../kube/yaml-text.ts';
import { compileIdentityPattern } from './identity-pattern.ts';
import type { IdentityAction, IdentityRule, IdentityRules } from './identity-rules.ts';
import { canTravel } from './identity-value.ts';

/** Each may cost a match for each group of a caller. */
const maxRules = 100;
const maxFaults = 5;

/**
 * Reads a ClusterGatewayProxyConfiguration (YAML or JSON, contract kubevela.md 2.5). `ownCluster` is for the rules of
 * one cluster: they never speak for another, whatever they say.
 *
 * Stricter than the Go gateway: a pattern that is wrong matches everybody there, and a field that it does not know is
 * ignored, which makes a condition of a rule disappear. Here nothing of such a configuration counts.
 */
export function readIdentityRules(text: string, ownCluster?: string): IdentityRules {
  try {
    const { value, duplicateFields } = parseYamlText(text);
    const [duplicate] = duplicateFields;
    if (duplicate !== undefined) throw new Error(`a field is given twice: ${shown(duplicate)}`);
    const parsed = documentShape.safeParse(value);
    if (!parsed.success) {
      const faults = parsed.error.issues.map(({ path, message }) => `${placeOf(path)}${message}`);
      throw new Error(faults.slice(0, maxFaults).map(shown).join('; '));
    }
    const rules = parsed.data.spec.clientIdentityExchanger.rules ?? [];
    return { type: 'readable', rules: rules.map((rule) => ruleFrom(rule, ownCluster)) };
  } catch (error) {
    return { type: 'unreadable', message: errorText(error) };
  }
}

const shown = (text: string) => text.slice(0, 300);

function placeOf(path: readonly PropertyKey[]): string {
  const place = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return place === '' ? '' : `${place.slice(1)}: `;
}

const text = z.string().nullish();

const pattern = z.string().transform((source, context) => {
  try {
    return compileIdentityPattern(source);
  } catch (error) {
    context.addIssue({ code: 'custom', message: `the pattern cannot be used: ${errorText(error)}` });
    return z.NEVER;
  }
});

const travelling = z.string().refine(canTravel, {
  error: 'it must not be empty, begin or end with a space, or have control characters',
});

const targetShape = z.strictObject({
  user: travelling,
  groups: z.array(travelling).nullish(),
  uid: travelling.nullish(),
});

const sourceShape = z.strictObject({
  user: text,
  group: text,
  uid: text,
  cluster: text,
  userPattern: pattern.nullish(),
  groupPattern: pattern.nullish(),
  clusterPattern: pattern.nullish(),
});

const common = { name: text, source: sourceShape.nullish(), url: text };

const ruleShape = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('PrivilegedIdentityExchanger'),
    ...common,
    target: targetShape.nullish(),
  }),
  z.strictObject({ type: z.literal('StaticMappingIdentityExchanger'), ...common, target: targetShape }),
  z.strictObject({ type: z.literal('ExternalIdentityExchanger'), ...common, target: targetShape.nullish() }),
]);

// `spec` is asked for: a file that is being written may be read while it is empty, and must not count as no rules.
const documentShape = z.strictObject({
  apiVersion: text,
  kind: z.literal('ClusterGatewayProxyConfiguration').nullish(),
  metadata: z.looseObject({}).nullish(),
  spec: z.strictObject({
    clientIdentityExchanger: z.strictObject({ rules: z.array(ruleShape).max(maxRules).nullish() }),
  }),
});

type Rule = z.infer<typeof ruleShape>;

function ruleFrom(rule: Rule, ownCluster: string | undefined): IdentityRule {
  const given = rule.source;
  if (!given) return { name: rule.name ?? '', source: undefined, action: actionOf(rule) };
  const source = {
    user: given.user ?? undefined,
    group: given.group ?? undefined,
    uid: given.uid ?? undefined,
    cluster: ownCluster ?? given.cluster ?? undefined,
    userPattern: given.userPattern ?? undefined,
    groupPattern: given.groupPattern ?? undefined,
    clusterPattern: given.clusterPattern ?? undefined,
  };
  return { name: rule.name ?? '', source, action: actionOf(rule) };
}

function actionOf(rule: Rule): IdentityAction {
  switch (rule.type) {
    case 'PrivilegedIdentityExchanger':
      return { type: 'gateway' };
    case 'StaticMappingIdentityExchanger': {
      const { user: name, groups, uid } = rule.target;
      return { type: 'mapped', user: { name, groups: groups ?? [], ...(uid ? { uid } : {}) } };
    }
    case 'ExternalIdentityExchanger':
      return { type: 'denied', reason: 'ExternalIdentityExchanger is not offered by this gateway' };
  }
}
