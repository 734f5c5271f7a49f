import type { FieldSelectorAttributes, LabelSelectorAttributes } from '../kube/access.ts';
import { parseFieldSelector } from '../kube/field-selector.ts';
import { parseLabelSelector } from '../kube/label-selector.ts';
import { StatusError } from '../kube/status.ts';

/**
 * What a SubjectAccessReview says of a request's selectors (KEP-4601, apiserver plugin/pkg/authorizer/webhook): with
 * them a rule may allow what it refuses without. They narrow a request, so that one that cannot be read, or an operator
 * that the review does not know, is left out: what is asked about is then broader than what is done.
 */
export function reviewedFieldSelector(text: string): FieldSelectorAttributes | undefined {
  const requirements = parsed(() => parseFieldSelector(text)).map(({ field, operator, value }) => ({
    key: field,
    operator: operator === '=' ? ('In' as const) : ('NotIn' as const),
    values: [value],
  }));
  return requirements.length > 0 ? { requirements } : undefined;
}

export function reviewedLabelSelector(text: string): LabelSelectorAttributes | undefined {
  const requirements = parsed(() => parseLabelSelector(text)).flatMap(({ key, operator, values }) =>
    operator === 'Gt' || operator === 'Lt'
      ? []
      : [{ key, operator, ...(values.length > 0 ? { values } : {}) }],
  );
  return requirements.length > 0 ? { requirements } : undefined;
}

function parsed<T>(parse: () => readonly T[]): readonly T[] {
  try {
    return parse();
  } catch (error) {
    if (error instanceof StatusError) return [];
    throw error;
  }
}
