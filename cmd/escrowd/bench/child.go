package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// child is the parent's end of the load generator.
type child struct {
	ctx   context.Context // the generator's life
	cmd   *exec.Cmd
	stdin io.WriteCloser
	read  *json.Decoder
	write *json.Encoder
}

// startLoad starts the load generator. It ends when its input does, so it
// cannot outlive us.
func startLoad(ctx context.Context, command []string, h hello) (*child, error) {
	if len(command) == 0 {
		return nil, errors.New("bench: no load generator to start")
	}
	c := &child{ctx: ctx, cmd: exec.CommandContext(ctx, command[0], command[1:]...)}
	c.cmd.Stderr = os.Stderr
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: starting the load generator: %w", err)
	}
	c.read, c.write = json.NewDecoder(out), json.NewEncoder(c.stdin)
	if err := c.write.Encode(h); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: the load generator does not listen: %w", err), c.close())
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// do lets the generator do a step.
func (c *child) do(ctx context.Context, s step) (d done, err error) {
	if err := c.write.Encode(s); err != nil {
		return d, c.gone(ctx, err)
	}
	if err := c.read.Decode(&d); err != nil {
		return d, c.gone(ctx, err)
	}
	if d.Error != "" {
		return d, errors.New(d.Error)
	}
	return d, nil
}

func (c *child) gone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("the load generator is gone: %w", err)
}

// close ends the generator.
func (c *child) close() error {
	err := c.stdin.Close()
	waited := c.cmd.Wait()
	if c.ctx.Err() != nil {
		return nil // killed with its context: whoever ended that knows why
	}
	return errors.Join(err, waited)
}
