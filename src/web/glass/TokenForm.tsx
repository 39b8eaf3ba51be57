import { useState } from 'preact/hooks';

interface TokenFormProps {
  readonly message: string;
  readonly onToken: (token: string) => void;
}

/** Asks for the token that the service wants. */
export function TokenForm({ message, onToken }: TokenFormProps) {
  const [token, setToken] = useState('');
  return (
    <form
      class="problem"
      onSubmit={(event) => {
        event.preventDefault();
        onToken(token.trim());
      }}
    >
      <strong>The service asks for a token.</strong> {message}
      <label>
        Token
        <input
          type="password"
          autocomplete="off"
          required
          value={token}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="primary">
        Use it
      </button>
    </form>
  );
}
