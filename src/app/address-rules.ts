import { denyAddresses } from '../net/address-guard.ts';
import { parseList } from './go-values.ts';

/** What `denyAddresses` takes, comma-separated; throws an Error for anything that it does not take. */
export function parseAddressRules(text: string): string[] {
  const rules = parseList(text);
  denyAddresses(rules);
  return rules;
}
