// brand.tsx - whose page this is.
import icon from '../icon.svg';

export function Brand() {
  return (
    <p class="brand">
      <img src={icon} alt="" width="26" height="26" /> Virga
    </p>
  );
}
