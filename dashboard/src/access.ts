// access.ts - what a role may do; the controller decides, this only keeps what
// it would refuse off the page.
import { session } from './session';
import { useStore } from './store';

export function useAccess() {
  const s = useStore(session);
  const role = s.phase === 'in' ? s.who.role : 'none';
  return {
    role,
    operator: role === 'operator',
    change: ['operator', 'admin', 'member'].includes(role),
    read: role !== 'billing' && role !== 'none',
  };
}
